"""The composition root: the only file that knows how the parts fit together, in which order they start and stop.

`running` is a whole sidecar as a context: inside it, it serves. Parts start from the store outwards and stop from the
proxy inwards, so that whatever stops can still use what it stands on.
"""

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from enum import Flag, auto
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sidecar.config.data_folder import ensure_admin_key, find_admin_key, make_data_dir
from sidecar.config.rules import load_rules
from sidecar.config.settings import Settings
from sidecar.config.values import Endpoint
from sidecar.domain.amounts import Unit
from sidecar.domain.errors import StartupError
from sidecar.domain.rules import RuleSet
from sidecar.proxy.server import ProxyServer
from sidecar.services.archiver import Archiver
from sidecar.services.history import History
from sidecar.services.holds import Holds
from sidecar.services.lease import Lease
from sidecar.services.pressure import Pressure
from sidecar.services.sweeper import Sweeper
from sidecar.services.written import Written
from sidecar.store.accounts import Accounts
from sidecar.store.address import Address, parse_address
from sidecar.store.bundled import BundledStore
from sidecar.store.customers import Customers
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from sidecar.store.leases import Leases
from sidecar.store.ledger import Ledger
from sidecar.store.once import OnceRecords
from sidecar.store.open_holds import OpenHolds
from sidecar.tasks import Tasks
from sidecar.telemetry import Metrics

if TYPE_CHECKING:
    from sidecar.archive.archive import Archive

log = logging.getLogger("sidecar")

SWEEP_INTERVAL_S: Final = 1.0

SETTLE_S: Final = 4.0
"""How long a stop waits for the last settlements; after `timeouts.shutdown_s` it ends within Kubernetes' 30 s."""

ARCHIVE_S: Final = 2.0
"""How long a stop waits until the journals are archived."""

CONTROL_STOP_S: Final = 1.0
"""How long a stop waits for control requests under way."""


class Role(Flag):
    """What a process does: `sidecar run` does it all."""

    PROXY = auto()
    CONTROL = auto()
    ALL = PROXY | CONTROL


class Sidecar:
    """One process's parts while it runs. Ports are the real ones, None for what this process does not serve."""

    def __init__(self, settings: Settings, rules: RuleSet, lane: Lane, address: Address) -> None:
        names = {"tenant": settings.tenant, "environment": settings.environment}
        self.settings = settings
        self.rules = rules
        self.lane = lane
        self.store = str(address)
        """The store's address without its password."""
        self.ledger = Ledger(lane, **names)
        self.journal = Journal(lane, **names)
        self.customers = Customers(lane, **names)
        self.once_records = OnceRecords(lane, **names)
        self.tasks = Tasks()
        self.metrics = Metrics()
        self.proxy_port: int | None = None
        self.control_port: int | None = None
        self.admin_key = ""
        self.admin_key_made = False
        self.unready: str | None = "The process is starting."

    def not_ready(self) -> str | None:
        """Why this process cannot serve, in one sentence; None when it can."""
        if self.unready is not None:
            return self.unready
        if not self.lane.connected:
            return f"There is no connection to the store at {self.store}."
        return None


@asynccontextmanager
async def running(settings: Settings, role: Role = Role.ALL, *, share_port: bool = False) -> AsyncIterator[Sidecar]:
    """Start everything of `role`; on leaving, finish or cut what is under way, settle it, and stop.

    `share_port` lets other processes serve the proxy's port too. ConfigError for bad rules; StartupError,
    InvalidInput or StoreUnavailable, in one sentence, for whatever else keeps it from starting. What had started is
    stopped again.
    """
    if Role.PROXY in role and not settings.upstream.url:
        raise StartupError(
            "No upstream: name the API that shall stand behind the proxy, such as --upstream http://127.0.0.1:9000."
        )
    units = {name: Unit(name=name, scale=unit.scale) for name, unit in settings.units.items()}
    rules = load_rules([Path(path) for path in settings.rules.paths], units)
    async with AsyncExitStack() as stack:
        address = parse_address(settings.store.url or await _start_store(settings, stack))
        lane = make_lane(
            address, timeout_s=settings.store.timeout_s, connect_timeout_s=settings.store.connect_timeout_s
        )
        stack.push_async_callback(lane.close)
        await lane.open()
        sidecar = Sidecar(settings, rules, lane, address)
        _measure_store(sidecar)
        stack.push_async_callback(sidecar.tasks.cancel)
        if Role.CONTROL in role:
            await _serve_control(sidecar, stack, may_make_key=Role.PROXY in role)
        if Role.PROXY in role:
            await _serve_proxy(sidecar, stack, share_port=share_port)
        sidecar.unready = None
        yield sidecar


async def _start_store(settings: Settings, stack: AsyncExitStack) -> str:
    bundled = BundledStore(make_data_dir(settings))
    stack.push_async_callback(bundled.stop)
    return await bundled.start()


async def _open_archive(sidecar: Sidecar, stack: AsyncExitStack) -> "Archive":
    # A process that only proxies needs no SQL.
    from sidecar.archive.archive import Archive  # noqa: PLC0415

    settings = sidecar.settings
    archive = Archive(settings.archive.url or f"sqlite:///{make_data_dir(settings) / 'archive.db'}")
    stack.push_async_callback(archive.close)
    await archive.open()
    return archive


async def _work(sidecar: Sidecar, archive: "Archive", stack: AsyncExitStack) -> Written:
    """Start what one process at a time does for all: sweep what is due, and move the journals into the archive."""
    settings, tasks = sidecar.settings, sidecar.tasks
    names = {"tenant": settings.tenant, "environment": settings.environment}
    sweeper = Sweeper(sidecar.ledger, interval_s=SWEEP_INTERVAL_S)
    archiver = Archiver(sidecar.journal, archive, passed=lambda *place: written.passed(*place))  # noqa: PLW0108  (made next)
    written = Written(sidecar.journal, tasks=tasks, timeout_s=settings.archive.timeout_s, nudge=archiver.nudge)
    lease = Lease(Leases(sidecar.lane, **names), "worker")

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


async def _serve_control(sidecar: Sidecar, stack: AsyncExitStack, *, may_make_key: bool) -> None:
    # A process that only proxies does without aiohttp, a fifth of its memory.
    from aiohttp import web  # noqa: PLC0415

    from sidecar.control.app import make_app  # noqa: PLC0415
    from sidecar.exposition import exposed  # noqa: PLC0415

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
    app = make_app(
        accounts=Accounts(sidecar.lane, **names),
        open_holds=OpenHolds(sidecar.lane, **names),
        customers=sidecar.customers,
        once_records=sidecar.once_records,
        history=History(archive, sidecar.journal, written, wait_for_writes=settings.archive.wait_for_writes),
        settings=settings,
        admin_key=sidecar.admin_key,
        ready=sidecar.not_ready,
        registry=exposed(sidecar.metrics),
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CONTROL_STOP_S)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    listen = Endpoint.parse(settings.control.listen)
    assert listen is not None, "the settings have been checked"
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        why = "the port is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        raise StartupError(
            f"The control API cannot listen on {listen}: {why}; choose another address with --control-listen."
        ) from error
    sidecar.control_port = runner.addresses[0][1]


async def _serve_proxy(sidecar: Sidecar, stack: AsyncExitStack, *, share_port: bool) -> None:
    settings = sidecar.settings
    pressure = Pressure(sidecar.journal, max_entries=settings.journal.max_entries)
    sidecar.tasks.start(pressure.run(), "journal pressure")
    holds = Holds(
        sidecar.ledger,
        pressure,
        ttl_s=settings.timeouts.total_s + settings.timeouts.hold_grace_s,
        timeout_s=settings.store.timeout_s,
        tasks=sidecar.tasks,
    )
    proxy = ProxyServer(
        settings=settings,
        rules=sidecar.rules,
        holds=holds,
        customers=sidecar.customers,
        metrics=sidecar.metrics,
        share_port=share_port,
    )
    await proxy.start()
    stack.push_async_callback(_stop_proxy, sidecar, proxy, holds)
    sidecar.proxy_port = proxy.port
    gauge, total = sidecar.metrics.gauge, sidecar.metrics.total
    gauge("sidecar_journal_entries", "Journal lines that are not archived yet.", lambda: pressure.entries)
    gauge("sidecar_journal_full_partitions", "Partitions without new holds.", lambda: pressure.full_partitions)
    gauge("sidecar_settlements_pending", "Settlements that the store has not acknowledged.", lambda: holds.pending)
    total("sidecar_settlements_abandoned", "Settlements that were given up.", lambda: holds.abandoned_total)


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


def _measure_store(sidecar: Sidecar) -> None:
    lane, gauge, total = sidecar.lane, sidecar.metrics.gauge, sidecar.metrics.total
    gauge("sidecar_store_connected", "1 while the store is connected.", lambda: int(lane.connected))
    gauge("sidecar_store_commands_waiting", "Commands without a reply yet.", lambda: lane.waiting)
    sidecar.metrics.histogram(
        "sidecar_store_round_trip_duration_seconds",
        "A batch of commands, from queueing to its reply.",
        lane.round_trips,
    )
    total("sidecar_store_commands", "Commands sent to the store.", lambda: lane.commands_total)
    total("sidecar_store_writes", "Writes that carried them.", lambda: lane.flushes_total)
    total("sidecar_store_timeouts", "Commands without a reply in time.", lambda: lane.timeouts_total)
    total("sidecar_store_reconnects", "Connections made again.", lambda: lane.reconnects_total)


async def _stop_proxy(sidecar: Sidecar, proxy: ProxyServer, holds: Holds) -> None:
    sidecar.unready = "The process is shutting down."
    await proxy.drain(sidecar.settings.timeouts.shutdown_s)
    await proxy.close()
    if not await holds.drain(SETTLE_S):
        log.warning("%d settlements were not acknowledged; the holds' deadline covers them", holds.pending)
