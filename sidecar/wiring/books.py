"""What the commands need that work on store and archive themselves, beside a running sidecar or without one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from sidecar.archive.archive import Archive
from sidecar.config.data_folder import archive_url, make_data_dir
from sidecar.config.settings import Settings
from sidecar.domain.errors import OthersArchive, StoreUnavailable
from sidecar.services.archiver import Archiver
from sidecar.services.clock import timed
from sidecar.services.rebuilding import Rebuilding
from sidecar.services.verification import Verification
from sidecar.store.address import parse_address
from sidecar.store.audit import Audit
from sidecar.store.bundled import BundledStore
from sidecar.store.customers import Customers
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from sidecar.store.leases import Leases
from sidecar.store.restore import Restore
from sidecar.store.shifted_lane import Shift

PATIENCE_S: Final = 10.0
"""At least so long may a command of these take: nobody waits for its answer with a request."""


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Store and archive, open."""

    store: str
    archive: str
    """Their addresses, without passwords."""
    alone: bool
    """The store is the bundled one, and was started for this: nobody archives but us."""
    customers: Customers
    archiver: Archiver
    verification: Verification
    rebuilding: Rebuilding


@asynccontextmanager
async def open_books(settings: Settings) -> AsyncIterator[Books]:
    """Open what `settings` name. A bundled store that runs already is shared, else it is started.

    Raises StoreUnavailable, ArchiveUnavailable, StartupError or InvalidInput, in one sentence.
    """
    names = {"tenant": settings.tenant, "environment": settings.environment}
    async with AsyncExitStack() as stack:
        archive = await _archive(settings, stack)
        lane, store, alone = await _store(settings, stack)
        time = Shift()
        lane, clock = timed(lane, time, **names)
        if clock is not None:
            await clock.look()
        journal = Journal(lane, **names)
        archiver = Archiver(journal, archive, now_s=time.now_s)
        audit = Audit(lane, tenant=settings.tenant, environment=settings.environment)
        yield Books(
            store=store,
            archive=str(archive),
            alone=alone,
            customers=Customers(lane, **names),
            archiver=archiver,
            verification=Verification(audit, journal, archive, wait_s=PATIENCE_S, now_s=time.now_s),
            rebuilding=Rebuilding(
                Restore(lane, **names),
                audit,
                journal,
                Leases(lane, **names),
                archive,
                archiver,
                clock=clock,
                now_s=time.now_s,
            ),
        )


async def _archive(settings: Settings, stack: AsyncExitStack) -> Archive:
    """The one of the settings; beside it, if it is the archive of another tenant's environment."""
    url, tenant, environment = archive_url(settings), settings.tenant, settings.environment
    archive = Archive(url, tenant=tenant, environment=environment)
    stack.push_async_callback(archive.close)
    try:
        await archive.open()
    except OthersArchive:
        archive = Archive(url, tenant=tenant, environment=environment, apart=True)
        stack.push_async_callback(archive.close)
        await archive.open()
    return archive


async def _store(settings: Settings, stack: AsyncExitStack) -> tuple[Lane, str, bool]:
    if settings.store.url:
        return *await _lane(settings, settings.store.url, stack), False
    bundled = BundledStore(make_data_dir(settings))
    try:
        return *await _lane(settings, bundled.address, stack), False
    except StoreUnavailable:
        stack.push_async_callback(bundled.stop)
        return *await _lane(settings, await bundled.start(), stack), True


async def _lane(settings: Settings, url: str, stack: AsyncExitStack) -> tuple[Lane, str]:
    address = parse_address(url)
    timeout_s = max(settings.store.timeout_s, PATIENCE_S)
    lane = make_lane(address, timeout_s=timeout_s, connect_timeout_s=settings.store.connect_timeout_s)
    stack.push_async_callback(lane.close)
    await lane.open()
    return lane, str(address)
