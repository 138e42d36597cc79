"""Starts and stops a whole sidecar.

`running` is that as a context: inside it, it serves. Parts start from the store outwards and stop from the
proxy inwards, so that whatever stops can still use what it stands on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from sidecar.config.data_folder import make_data_dir, spool_dir
from sidecar.config.settings import Gateway, Settings, units_of
from sidecar.domain.errors import StartupError, StoreError
from sidecar.proxy.server import ProxyServer
from sidecar.services.bridging import Bridging
from sidecar.services.credential import Credential
from sidecar.services.credit_leases import LeaseTerms
from sidecar.services.denials import Denials
from sidecar.services.holds import Holds
from sidecar.services.lease import POLLING, Lease
from sidecar.services.polling import Polling
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.services.recalls import Recalls
from sidecar.services.reloading import Reloading
from sidecar.services.spool import Spool
from sidecar.store.address import parse_address
from sidecar.store.bundled import BundledStore
from sidecar.store.denials import DenialCounts
from sidecar.store.jobs import Jobs
from sidecar.store.lanes import make_lane
from sidecar.store.leases import Leases
from sidecar.store.pauses import Pauses
from sidecar.store.shifted_lane import Shift
from sidecar.telemetry import Fold
from sidecar.wiring.admin import Probes
from sidecar.wiring.parts import Role, Sidecar
from sidecar.wiring.polls import Polls

log = logging.getLogger("sidecar")


@asynccontextmanager
async def running(
    settings: Settings, role: Role = Role.ALL, *, share_port: bool = False, report_at: Path | None = None
) -> AsyncIterator[Sidecar]:
    """Start everything of `role`; on leaving, finish or cut what is under way, settle it, and stop.

    `share_port` lets other processes serve the proxy's port too; at `report_at` this one says how it is, to the one
    that answers probes for all of them. A given store that is away is no reason not to
    start: requests are refused until it is there. ConfigError for bad rules; StartupError or InvalidInput, in one
    sentence, for whatever else keeps it from starting. What had started is stopped again.
    """
    if Role.PROXY in role and not settings.upstream.url and settings.proxy.forward_auth is Gateway.NONE:
        raise StartupError(
            "No upstream: name the API that shall stand behind the proxy, such as --upstream http://127.0.0.1:9000."
        )
    time = Shift()
    reloading = Reloading([Path(path) for path in settings.rules.paths], units_of(settings), now_s=time.now_s)
    async with AsyncExitStack() as stack:
        address = parse_address(settings.store.url or await _start_store(settings, stack))
        lane = make_lane(
            address, timeout_s=settings.store.timeout_s, connect_timeout_s=settings.store.connect_timeout_s
        )
        stack.push_async_callback(lane.close)
        sidecar = Sidecar(settings, reloading, lane, address, time)
        await _open_store(sidecar)
        sidecar.realm.keep_time(sidecar.tasks)
        _measure_store(sidecar)
        _measure_rules(sidecar)
        sidecar.metrics.gauge("sidecar_tasks", "Tasks of the event loop.", lambda: len(asyncio.all_tasks()))
        sidecar.metrics.total(
            "sidecar_settled_later", "Requests settled by a token.", lambda: sidecar.deferred.settled_total
        )
        spool = Spool(
            spool_dir(settings),
            max_bytes=settings.spool.max_bytes,
            tasks=sidecar.tasks,
            signer=sidecar.signer,
            now_ms=sidecar.realm.time.now_ms,
        )
        # After the tasks, of which each may leave it something.
        stack.callback(spool.close)
        stack.push_async_callback(sidecar.tasks.cancel)
        if Role.CONTROL in role:
            # A process that only proxies does without aiohttp and SQL, half of its memory.
            from sidecar.wiring.control import serve_control  # noqa: PLC0415

            await serve_control(sidecar, stack, may_make_key=Role.PROXY in role)
        if Role.PROXY in role:
            # Answered from when requests are taken until the last of them has been: so it is closed after the proxy.
            probes = Probes(sidecar, report_at)
            stack.push_async_callback(probes.close)
            await _serve_proxy(sidecar, spool, stack, share_port=share_port)
            await probes.start()
        if settings.rules.watch:
            sidecar.tasks.start(reloading.watch(settings.rules.poll_s), "rules watch")
        sidecar.unready = None
        yield sidecar


async def _start_store(settings: Settings, stack: AsyncExitStack) -> str:
    bundled = BundledStore(make_data_dir(settings))
    stack.push_async_callback(bundled.stop)
    return await bundled.start()


async def _open_store(sidecar: Sidecar) -> None:
    try:
        await sidecar.meet_store()
    except StoreError as error:
        if not sidecar.settings.store.url:
            raise
        # A restart while it is away must not end in a loop of crashes: when it comes, we are there.
        log.error("%s Requests are refused until it is there.", error.detail)  # noqa: TRY400  (says it all)
        sidecar.tasks.start(_open_later(sidecar, error.detail), "store")


async def _open_later(sidecar: Sidecar, said: str) -> None:
    pauses = Pauses()
    while True:
        await asyncio.sleep(pauses.next_s())
        try:
            await sidecar.meet_store()
        except StoreError as error:
            if error.detail != said:
                log.warning("%s", error.detail)
            said = error.detail
        else:
            log.info("the store is there; requests are taken")
            return


async def _serve_proxy(sidecar: Sidecar, spool: Spool, stack: AsyncExitStack, *, share_port: bool) -> None:
    settings, timeouts = sidecar.settings, sidecar.settings.timeouts
    pressure = Pressure(sidecar.journal, max_entries=settings.journal.max_entries)
    sidecar.tasks.start(pressure.run(), "journal pressure")
    queue = Queue(
        sidecar.realm.lane,
        sidecar.ledger,
        waiting_max=settings.limits.waiting_max,
        account_max=settings.limits.waiting_per_account_max,
        tasks=sidecar.tasks,
    )
    holds = Holds(
        sidecar.ledger,
        pressure,
        queue,
        sidecar.outage,
        ttl_s=min(timeouts.hold_ttl_s, timeouts.total_s + timeouts.hold_grace_s),
        timeout_s=settings.store.timeout_s,
        tasks=sidecar.tasks,
        spool=spool,
        lease_terms=LeaseTerms(**msgspec.structs.asdict(settings.leases)),
    )
    sidecar.spool = spool
    sidecar.tasks.start(spool.run(sidecar.ledger), "spool")
    sidecar.tasks.start(holds.upkeep.run(), "upkeep of holds")
    _start_leases(sidecar, holds)
    _count_denials(sidecar, stack)
    credential = _credential(settings)
    polling = _start_polling(sidecar, credential, stack)
    proxy = ProxyServer(
        settings=settings,
        rules=sidecar.rules,
        holds=holds,
        customers=sidecar.customers,
        deferred=sidecar.deferred,
        polling=polling,
        metrics=sidecar.metrics,
        credential=credential,
        share_port=share_port,
    )
    sidecar.reloading.follow(proxy.use)
    if credential is not None:
        sidecar.tasks.start(credential.watch(proxy.use_credential), "upstream credential")
        _measure_credential(sidecar, credential)
    await proxy.start()
    stack.push_async_callback(_stop_proxy, sidecar, proxy, holds)
    sidecar.proxy_port = proxy.port
    _measure_holds(sidecar, holds)
    _measure_spool(sidecar, spool, holds)
    _measure_bridging(sidecar, holds.bridging)
    _measure_pressure(sidecar, pressure)
    _measure_queue(sidecar, queue)
    _measure_polling(sidecar, polling)


def _start_polling(sidecar: Sidecar, credential: Credential | None, stack: AsyncExitStack) -> Polling:
    settings = sidecar.settings
    polls, names = Polls(settings, credential), {"tenant": settings.tenant, "environment": settings.environment}
    stack.push_async_callback(polls.close)
    polling = Polling(
        Jobs(sidecar.realm.lane, **names),
        sidecar.deferred,
        lambda: sidecar.rules,
        polls.fetch,
        now_s=sidecar.realm.time.now_s,
    )
    if settings.upstream.url:
        lease = Lease(Leases(sidecar.realm.lane, **names), POLLING)
        sidecar.tasks.start(lease.run(polling.run), POLLING)
    return polling


def _count_denials(sidecar: Sidecar, stack: AsyncExitStack) -> None:
    names = {"tenant": sidecar.settings.tenant, "environment": sidecar.settings.environment}
    counts = DenialCounts(sidecar.realm.lane, **names)
    denials = Denials(counts, sidecar.metrics.take_denials, now_s=sidecar.realm.time.now_s)
    stack.push_async_callback(denials.flush)
    sidecar.tasks.start(denials.run(), "denials")


def _credential(settings: Settings) -> Credential | None:
    upstream = settings.upstream
    if not upstream.credential_file:
        return None
    return Credential(upstream.credential_header, upstream.credential_scheme, Path(upstream.credential_file))


def _measure_credential(sidecar: Sidecar, credential: Credential) -> None:
    sidecar.metrics.total(
        "sidecar_upstream_credential_reloads", "Times that it changed.", lambda: credential.reloads_total
    )
    sidecar.metrics.gauge(
        "sidecar_upstream_credential_failing",
        "1 while its file cannot be read.",
        lambda: int(credential.failing is not None),
        Fold.MOST,
    )


def _start_leases(sidecar: Sidecar, holds: Holds) -> None:
    settings, leases = sidecar.settings, holds.bridging.leases
    recalls = Recalls(
        sidecar.realm.lane, leases, tenant=settings.tenant, environment=settings.environment, tasks=sidecar.tasks
    )
    leases.ask_others = recalls.ask
    recalls.use(sidecar.rules)
    sidecar.reloading.follow(recalls.use)
    sidecar.tasks.start(leases.run(), "leases")
    sidecar.tasks.start(recalls.run(), "recalls of leases")


def _measure_holds(sidecar: Sidecar, holds: Holds) -> None:
    gauge, total, settling, upkeep = sidecar.metrics.gauge, sidecar.metrics.total, holds.settling, holds.upkeep
    gauge("sidecar_settlements_pending", "Settlements that the store has not acknowledged.", lambda: settling.pending)
    total("sidecar_settlements_abandoned", "Settlements that were given up.", lambda: settling.abandoned_total)
    total("sidecar_charges_late", "Charges of holds that had expired.", lambda: settling.late_total)
    total("sidecar_holds_kept_alive", "Holds of running requests that were prolonged.", lambda: upkeep.beats_total)
    total("sidecar_holds_not_kept", "Holds that could not be, for now.", lambda: upkeep.failures_total)
    total("sidecar_steps", "Parts of what sessions used, charged while they last.", lambda: upkeep.steps_total)
    total("sidecar_holds_grown", "How often a hold grew while its answer streamed.", lambda: upkeep.grown_total)
    total("sidecar_holds_exhausted", "How often it could not by all.", lambda: upkeep.exhausted_total)
    total("sidecar_holds_lost", "Holds that expired while their requests ran.", lambda: upkeep.lost_total)


def _measure_pressure(sidecar: Sidecar, pressure: Pressure) -> None:
    gauge = sidecar.metrics.gauge
    gauge("sidecar_journal_entries", "Journal lines that are not archived yet.", lambda: pressure.entries, Fold.MOST)
    gauge(
        "sidecar_journal_full_partitions",
        "Partitions without new holds.",
        lambda: pressure.full_partitions,
        Fold.MOST,
    )


def _measure_polling(sidecar: Sidecar, polling: Polling) -> None:
    total = sidecar.metrics.total
    total("sidecar_jobs_settled", "Jobs of which a poll learnt the end.", lambda: polling.settled_total)
    total("sidecar_jobs_given_up", "Jobs of which nobody learnt the end.", lambda: polling.given_up_total)
    total("sidecar_polls_failed", "Polls without a usable answer.", lambda: polling.failures_total)


def _measure_spool(sidecar: Sidecar, spool: Spool, holds: Holds) -> None:
    gauge, total, settling = sidecar.metrics.gauge, sidecar.metrics.total, holds.settling
    gauge("sidecar_spool_records", "Charges that are kept on the local disk.", lambda: spool.records)
    gauge("sidecar_spool_failing", "1 while none can be.", lambda: int(spool.failing is not None), Fold.MOST)
    total("sidecar_spool_replayed", "Charges of other processes that were delivered.", lambda: spool.replayed_total)
    total("sidecar_spool_unknown", "Those that the store did not know.", lambda: spool.unknown_total)
    total(
        "sidecar_charges_recovered",
        "Charges of holds that the store had lost.",
        lambda: settling.recovered_total + spool.recovered_total,
    )


def _measure_bridging(sidecar: Sidecar, bridging: Bridging) -> None:
    metrics, ledger, leases = sidecar.metrics, sidecar.ledger, bridging.leases
    metrics.total_by(
        "sidecar_bridged_requests", "Requests served without the store.", "way", lambda: bridging.requests
    )
    metrics.gauge_by(
        "sidecar_overspend_bound_base_units", "Spent by `allow`, not charged yet.", "unit", lambda: bridging.bounds
    )
    metrics.total_by(
        "sidecar_overspend_base_units", "Served without the store, and not there.", "unit", lambda: ledger.overspent
    )
    metrics.gauge("sidecar_leases", "Customers' leases that this process holds.", lambda: leases.open)
    metrics.gauge_by("sidecar_leased_base_units", "What is left of them.", "unit", lambda: leases.held)
    metrics.total_by("sidecar_leases_spent_base_units", "Charged to leases.", "unit", lambda: leases.spent)
    metrics.total_by("sidecar_leases_returned_base_units", "Given back of them.", "unit", lambda: leases.returned)
    metrics.total("sidecar_leases_lost", "Leases that ended before they were given back.", lambda: leases.lost_total)


def _measure_store(sidecar: Sidecar) -> None:
    lane, gauge, total = sidecar.lane, sidecar.metrics.gauge, sidecar.metrics.total
    gauge("sidecar_store_connected", "1 while the store is connected.", lambda: int(lane.connected), Fold.LEAST)
    gauge("sidecar_store_commands_waiting", "Commands without a reply yet.", lambda: lane.waiting)
    sidecar.metrics.histogram(
        "sidecar_store_round_trip_duration_seconds",
        "A batch of commands, from queueing to its reply.",
        lane.round_trips,
    )
    total("sidecar_store_commands", "Commands sent to the store.", lambda: lane.commands_total)
    total("sidecar_store_writes", "Writes that carried them.", lambda: lane.flushes_total)
    total("sidecar_store_timeouts", "Commands without a reply in time.", lambda: lane.timeouts_total)
    gauge(
        "sidecar_store_circuit_open", "1 while requests do not ask it.", lambda: int(sidecar.outage.open), Fold.MOST
    )
    total("sidecar_store_circuit_opened", "How often that began.", lambda: sidecar.outage.opened_total)
    total("sidecar_store_reconnects", "Connections made again.", lambda: lane.reconnects_total)


def _measure_rules(sidecar: Sidecar) -> None:
    metrics, reloading = sidecar.metrics, sidecar.reloading
    metrics.gauge_by(
        "sidecar_rules_info",
        "1 for the rules in force.",
        "version",
        lambda: {reloading.rules.version: 1},
        Fold.MOST,
    )
    metrics.total_by("sidecar_rules_reloads", "Reloads, by how they ended.", "outcome", lambda: reloading.outcomes)
    metrics.gauge(
        "sidecar_rules_loaded_timestamp_seconds",
        "When the rules in force were loaded.",
        lambda: reloading.loaded_at_ms / 1000,
        Fold.LEAST,
    )
    metrics.gauge(
        "sidecar_rules_last_reload_successful",
        "0 while the files have a mistake, and older rules are in force.",
        lambda: int(reloading.failure is None),
        Fold.LEAST,
    )


def _measure_queue(sidecar: Sidecar, queue: Queue) -> None:
    gauge, total = sidecar.metrics.gauge, sidecar.metrics.total
    gauge("sidecar_waiting_requests", "Requests that wait for holds to come back.", lambda: queue.waiting)
    total("sidecar_waits_admitted", "Requests that were admitted after a wait.", lambda: queue.admitted_total)
    total("sidecar_waits_in_vain", "Requests that waited and were not admitted.", lambda: queue.in_vain_total)
    sidecar.metrics.histogram("sidecar_wait_duration_seconds", "A wait for holds to come back.", queue.waited)


async def _stop_proxy(sidecar: Sidecar, proxy: ProxyServer, holds: Holds) -> None:
    sidecar.unready = "The process is shutting down."
    timeouts = sidecar.settings.timeouts
    await proxy.linger(timeouts.shutdown_delay_s)
    await proxy.drain(timeouts.shutdown_s)
    await proxy.close()
    settled = await holds.settling.drain(timeouts.shutdown_settle_s)
    # After the charges that leases pay.
    await holds.bridging.leases.close()
    if not settled:
        log.warning("%d settlements were not acknowledged; the holds' deadline covers them", holds.settling.pending)
