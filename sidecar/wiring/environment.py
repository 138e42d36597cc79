"""One tenant's environment in a process of the control plane: its archive, worker, catalogue and audit log."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from sidecar.archive.archive import Archive
from sidecar.config.data_folder import archive_url
from sidecar.config.settings import Settings
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.services.archiver import Archiver
from sidecar.services.audit_trail import AuditTrail
from sidecar.services.catalogue import Catalogue
from sidecar.services.history import History
from sidecar.services.lease import WORKER, Lease
from sidecar.services.retention import Retention
from sidecar.services.sweeper import Sweeper
from sidecar.services.topup_asking import TopupAsking
from sidecar.services.transferring import Transferring
from sidecar.services.written import Written
from sidecar.store.accounts import Accounts
from sidecar.store.leases import Leases
from sidecar.store.transfers import Transfers
from sidecar.tasks import Tasks
from sidecar.wiring.parts import Realm

log = logging.getLogger("sidecar")

SWEEP_INTERVAL_S: Final = 1.0

REOPEN_S: Final = 1.0
"""Between two attempts to open an archive that is away."""

ASSIST_S: Final = 1.0
"""How long this process archives at most for who waits, when the worker does not."""

ARCHIVE_S: Final = 2.0
"""How long a stop waits until the journals are archived."""

STOP_S: Final = 1.0
"""How long a stop waits for what ends by itself."""


class Environment:
    """`apart`: its archive is beside the one of the settings, which is another's."""

    def __init__(self, realm: Realm, settings: Settings, tasks: Tasks, *, apart: bool) -> None:
        lane, time = realm.lane, realm.time
        names = {"tenant": realm.tenant, "environment": realm.environment}
        self.realm = realm
        self.archive = Archive(archive_url(settings), **names, apart=apart)
        self.sweeper = Sweeper(realm.ledger, interval_s=SWEEP_INTERVAL_S)
        self.archiver = Archiver(
            realm.journal,
            self.archive,
            passed=lambda *place: self._written.passed(*place),  # noqa: PLW0108  (made next)
            now_s=time.now_s,
        )
        self._written = Written(
            realm.journal,
            tasks=tasks,
            timeout_s=settings.archive.timeout_s,
            nudge=self.archiver.nudge,
            assist=lambda: self.archiver.drain(ASSIST_S),
        )
        self.lease = Lease(Leases(lane, **names), WORKER)
        self.catalogue = Catalogue(self.archive)
        self.trail = AuditTrail(self.archive, timeout_s=settings.archive.timeout_s)
        self.history = History(
            self.archive, realm.journal, self._written, wait_for_writes=settings.archive.wait_for_writes
        )
        self._asking = TopupAsking(self.archive, works=lambda: self.lease.held, now_ms=time.now_ms)
        self._retention = Retention(self.archive, settings.archive.events_kept_days, now_ms=time.now_ms)
        self.transferring = Transferring(Accounts(lane, **names), Transfers(lane, **names), self.history)
        self._tasks = tasks

    async def start(self, stack: AsyncExitStack) -> None:
        """Open the archive and work for all, until `stack` is left. StartupError for an archive that is not ours."""
        stack.push_async_callback(self.archive.close)
        try:
            await self.archive.open()
        except ArchiveUnavailable as error:
            # Requests do not need it: a restart while it is away must not end them.
            log.error(  # noqa: TRY400  (says it all)
                "%s; requests are served, what credit does is not archived until it is back", error.detail
            )
            self._tasks.start(self._open_later(), "archive")
        self._work(stack)
        with contextlib.suppress(ArchiveUnavailable):
            await self.catalogue.refresh()
        run_until_stop(self._tasks, stack, self.catalogue.run(), self.catalogue.close, "catalogue")
        run_until_stop(self._tasks, stack, self.trail.run(), self.trail.close, "audit trail")
        run_until_stop(self._tasks, stack, self._asking.run(), self._asking.close, "requests for top-ups")
        run_until_stop(self._tasks, stack, self._retention.run(), self._retention.close, "retention")

    async def _open_later(self) -> None:
        while True:
            await asyncio.sleep(REOPEN_S)
            with contextlib.suppress(ArchiveUnavailable):
                await self.archive.open()
                log.info("the archive %s is open", self.archive)
                return

    def _work(self, stack: AsyncExitStack) -> None:
        """Start what one process at a time does for all: sweep, archive, bring what is on its way, tidy up."""

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.sweeper.run())
                group.create_task(self.archiver.run())
                group.create_task(self.transferring.run())

        worker = self._tasks.start(self.lease.run(work), "worker")

        async def finish() -> None:
            if self.lease.held and not await self.archiver.drain(ARCHIVE_S):
                log.warning("%d journal lines are not archived yet; the next worker goes on", self.archiver.waiting)
            worker.cancel()
            await asyncio.wait((worker,))

        stack.push_async_callback(finish)


def run_until_stop(
    tasks: Tasks, stack: AsyncExitStack, work: Coroutine[Any, Any, None], close: Callable[[], None], name: str
) -> None:
    """Run `work` until a stop calls `close`; it gets some time to end by itself."""
    running = tasks.start(work, name)

    async def finish() -> None:
        close()
        await asyncio.wait((running,), timeout=STOP_S)
        running.cancel()

    stack.push_async_callback(finish)
