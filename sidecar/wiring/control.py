"""The control plane's part of the wiring: the archive, the worker and the control API.

It is imported only where it is needed: aiohttp and SQL are half of a process's memory.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from aiohttp import web

from sidecar.archive.archive import Archive
from sidecar.config.data_folder import archive_url, ensure_admin_key, find_admin_key
from sidecar.config.settings import units_of
from sidecar.config.values import Endpoint
from sidecar.control.app import make_app
from sidecar.control.endpoint import Parts, wall_clock_ms
from sidecar.domain.errors import ArchiveUnavailable, StartupError
from sidecar.exposition import exposed
from sidecar.services.archiver import Archiver
from sidecar.services.audit_trail import AuditTrail
from sidecar.services.call_limits import CallLimits
from sidecar.services.catalogue import Catalogue
from sidecar.services.control_keys import ControlKeys
from sidecar.services.history import History
from sidecar.services.lease import WORKER, Lease
from sidecar.services.pricing import Pricing
from sidecar.services.reservations import Reservations
from sidecar.services.sweeper import Sweeper
from sidecar.services.usage import Usage
from sidecar.services.written import Written
from sidecar.store.accounts import Accounts
from sidecar.store.counters import Counters
from sidecar.store.denials import DenialCounts
from sidecar.store.leases import Leases
from sidecar.store.open_holds import OpenHolds
from sidecar.store.spend_caps import SpendCaps
from sidecar.wiring.parts import Sidecar

log = logging.getLogger("sidecar")

SWEEP_INTERVAL_S: Final = 1.0

REOPEN_S: Final = 1.0
"""Between two attempts to open an archive that is away."""

ASSIST_S: Final = 1.0
"""How long this process archives at most for who waits, when the worker does not."""

ARCHIVE_S: Final = 2.0
"""How long a stop waits until the journals are archived."""

CONTROL_STOP_S: Final = 1.0
"""How long a stop waits for control requests under way."""


async def serve_control(sidecar: Sidecar, stack: AsyncExitStack, *, may_make_key: bool) -> None:
    """Open the archive, work for all, and serve the control API, until `stack` is left.

    `may_make_key`: make an admin key if there is none. StartupError for what keeps it from starting.
    """
    settings = sidecar.settings
    names = {"tenant": settings.tenant, "environment": settings.environment}
    if may_make_key:
        sidecar.admin_key, sidecar.admin_key_made = ensure_admin_key(settings)
    else:
        sidecar.admin_key = find_admin_key(settings) or ""
    if not sidecar.admin_key:
        raise StartupError(
            "No admin key: set SIDECAR_ADMIN_KEY to the key that the control API shall ask for, such as "
            f"ck_{settings.environment}_ and 43 random letters and digits."
        )
    archive = await _open_archive(sidecar, stack)
    written = await _work(sidecar, archive, stack)
    catalogue = await _catalogue(sidecar, archive, stack)
    keys = ControlKeys(catalogue, sidecar.admin_key, **names, now_ms=wall_clock_ms)
    trail = AuditTrail(archive, timeout_s=settings.archive.timeout_s)
    for work, close, name in (
        (keys.run, keys.close, "uses of control keys"),
        (trail.run, trail.close, "audit trail"),
    ):
        _run_until_stop(sidecar, stack, work(), close, name)
    history = History(archive, sidecar.journal, written, wait_for_writes=settings.archive.wait_for_writes)
    pricing = Pricing(catalogue, wall_clock_ms)
    counters, open_holds = Counters(sidecar.lane, **names), OpenHolds(sidecar.lane, **names)
    reservations = Reservations(sidecar.ledger, open_holds, counters, history, pricing)
    parts = Parts(
        accounts=Accounts(sidecar.lane, **names),
        audit_trail=trail,
        call_limits=CallLimits(
            key_count=settings.control.key_calls_per_minute,
            tenant_count=settings.control.tenant_calls_per_minute,
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
        ),
        counters=counters,
        spend_caps=SpendCaps(sidecar.lane, **names),
        open_holds=open_holds,
        catalogue=catalogue,
        control_keys=keys,
        customers=sidecar.customers,
        deferred=sidecar.deferred,
        denials=DenialCounts(sidecar.lane, **names),
        once_records=sidecar.once_records,
        history=history,
        reloading=sidecar.reloading,
        signer=sidecar.signer,
        pricing=pricing,
        reservations=reservations,
        usage=Usage(sidecar.ledger, reservations, open_holds, counters, sidecar.once_records, history),
        units=units_of(settings),
        ready=sidecar.not_ready,
        registry=exposed(sidecar.metrics),
    )
    await _listen(sidecar, make_app(parts), stack)


async def _listen(sidecar: Sidecar, app: web.Application, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CONTROL_STOP_S)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    listen = Endpoint.parse(sidecar.settings.control.listen)
    assert listen is not None, "the settings have been checked"
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        why = "the port is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        raise StartupError(
            f"The control API cannot listen on {listen}: {why}; choose another address with --control-listen."
        ) from error
    sidecar.control_port = runner.addresses[0][1]


async def _open_archive(sidecar: Sidecar, stack: AsyncExitStack) -> Archive:
    settings = sidecar.settings
    archive = Archive(archive_url(settings), tenant=settings.tenant, environment=settings.environment)
    stack.push_async_callback(archive.close)
    try:
        await archive.open()
    except ArchiveUnavailable as error:
        # Requests do not need it: a restart while it is away must not end them.
        log.error("%s; requests are served, what credit does is not archived until it is back", error.detail)  # noqa: TRY400  (says it all)
        sidecar.tasks.start(_open_later(archive), "archive")
    return archive


async def _open_later(archive: Archive) -> None:
    while True:
        await asyncio.sleep(REOPEN_S)
        with contextlib.suppress(ArchiveUnavailable):
            await archive.open()
            log.info("the archive %s is open", archive)
            return


async def _catalogue(sidecar: Sidecar, archive: Archive, stack: AsyncExitStack) -> Catalogue:
    catalogue = Catalogue(archive)
    with contextlib.suppress(ArchiveUnavailable):
        await catalogue.refresh()
    _run_until_stop(sidecar, stack, catalogue.run(), catalogue.close, "catalogue")
    sidecar.metrics.gauge(
        "sidecar_catalogue_age_seconds",
        "How long ago this process last knew that what the operator wrote is as the archive has it.",
        lambda: (time.time_ns() // 1_000_000 - catalogue.refreshed_at_ms) / 1000,
    )
    return catalogue


def _run_until_stop(
    sidecar: Sidecar, stack: AsyncExitStack, work: Coroutine[Any, Any, None], close: Callable[[], None], name: str
) -> None:
    """Run `work` until a stop calls `close`; it gets some time to end by itself."""
    running = sidecar.tasks.start(work, name)

    async def finish() -> None:
        close()
        await asyncio.wait((running,), timeout=CONTROL_STOP_S)
        running.cancel()

    stack.push_async_callback(finish)


async def _work(sidecar: Sidecar, archive: Archive, stack: AsyncExitStack) -> Written:
    """Start what one process at a time does for all: sweep what is due, and move the journals into the archive."""
    settings, tasks = sidecar.settings, sidecar.tasks
    names = {"tenant": settings.tenant, "environment": settings.environment}
    sweeper = Sweeper(sidecar.ledger, interval_s=SWEEP_INTERVAL_S)
    archiver = Archiver(sidecar.journal, archive, passed=lambda *place: written.passed(*place))  # noqa: PLW0108  (made next)
    written = Written(
        sidecar.journal,
        tasks=tasks,
        timeout_s=settings.archive.timeout_s,
        nudge=archiver.nudge,
        assist=lambda: archiver.drain(ASSIST_S),
    )
    lease = Lease(Leases(sidecar.lane, **names), WORKER)

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sweeper.run())
            group.create_task(archiver.run())

    worker = tasks.start(lease.run(work), "worker")

    async def finish() -> None:
        if lease.held and not await archiver.drain(ARCHIVE_S):
            log.warning("%d journal lines are not archived yet; the next worker goes on", archiver.waiting)
        worker.cancel()
        await asyncio.wait((worker,))

    stack.push_async_callback(finish)
    _measure_worker(sidecar, sweeper, archiver, lease)
    return written


def _measure_worker(sidecar: Sidecar, sweeper: Sweeper, archiver: Archiver, lease: Lease) -> None:
    gauge, total = sidecar.metrics.gauge, sidecar.metrics.total
    gauge("sidecar_worker_active", "1 while this process sweeps and archives for all.", lambda: int(lease.held))
    total("sidecar_holds_expired", "Overdue holds that were given back.", lambda: sweeper.expired_total)
    total("sidecar_sweeps_failed", "Sweeps that the store failed.", lambda: sweeper.failures_total)
    total(
        "sidecar_payers_corrupt",
        "Sweeps of a payer whose books cannot be read.",
        lambda: sidecar.ledger.corrupt_total,
    )
    total("sidecar_archive_entries", "Journal lines that were archived.", lambda: archiver.archived_total)
    total("sidecar_archive_failures", "Attempts to archive that failed.", lambda: archiver.failures_total)
    total("sidecar_archive_anomalies", "Archived lines that cannot be right.", lambda: archiver.anomalies_total)
    gauge("sidecar_archive_waiting_entries", "Journal lines to archive, at the last look.", lambda: archiver.waiting)
    gauge("sidecar_archive_lag_seconds", "Age of the oldest of them.", lambda: archiver.lag_ms / 1000)
    gauge("sidecar_archive_stopped_partitions", "Partitions that cannot be archived.", lambda: len(archiver.stopped))
    gauge("sidecar_archive_behind_partitions", "Partitions of which history was lost.", lambda: len(archiver.behind))
