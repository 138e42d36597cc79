"""The control plane's part of the wiring: the archive, the worker and the control API.

It is imported only where it is needed: aiohttp and SQL are half of a process's memory.
"""

import errno
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec
from aiohttp import web
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from sidecar.config.data_folder import ensure_admin_key, find_admin_key
from sidecar.config.settings import units_of
from sidecar.config.values import Endpoint
from sidecar.control.app import make_app
from sidecar.control.endpoint import Parts, wall_clock_ms
from sidecar.domain.amounts import CREDITS
from sidecar.domain.errors import StartupError
from sidecar.domain.overage import Overage, OveragePolicy
from sidecar.exposition import exposed
from sidecar.services.call_limits import CallLimits
from sidecar.services.checking import Checking
from sidecar.services.control_keys import ControlKeys
from sidecar.services.deferred import AnyDeferred
from sidecar.services.merging import Merging
from sidecar.services.pricing import Pricing
from sidecar.services.refunding import Refunding
from sidecar.services.reservations import Reservations
from sidecar.services.tenants import Tenants
from sidecar.services.usage import Usage
from sidecar.services.watching import Watching
from sidecar.store.accounts import Accounts
from sidecar.store.corrections import Corrections
from sidecar.store.counters import Counters
from sidecar.store.denials import DenialCounts
from sidecar.store.entitlements import Entitlements
from sidecar.store.leases import Leases
from sidecar.store.open_holds import OpenHolds
from sidecar.store.periods import Periods
from sidecar.store.purchases import Purchases
from sidecar.store.spend_caps import SpendCaps
from sidecar.wiring.environment import Environment, run_until_stop
from sidecar.wiring.environments import Environments
from sidecar.wiring.parts import Sidecar

CONTROL_STOP_S: Final = 1.0
"""How long a stop waits for control requests under way."""


async def serve_control(sidecar: Sidecar, stack: AsyncExitStack, *, may_make_key: bool) -> None:
    """Open the archive, work for all, and serve the control API, until `stack` is left.

    `may_make_key`: make an admin key if there is none. StartupError for what keeps it from starting.
    """
    settings = sidecar.settings
    if may_make_key:
        sidecar.admin_key, sidecar.admin_key_made = ensure_admin_key(settings)
    else:
        sidecar.admin_key = find_admin_key(settings) or ""
    if not sidecar.admin_key:
        raise StartupError(
            "No admin key: set SIDECAR_ADMIN_KEY to the key that the control API shall ask for, such as "
            f"ck_{settings.environment}_ and 43 random letters and digits."
        )
    home = Environment(sidecar.realm, settings, sidecar.tasks, apart=False)
    await home.start(stack)
    keys = ControlKeys(
        home.catalogue,
        sidecar.admin_key,
        tenant=settings.tenant,
        environment=settings.environment,
        now_ms=wall_clock_ms,
    )
    run_until_stop(sidecar.tasks, stack, keys.run(), keys.close, "uses of control keys")
    shared = Shared(
        control_keys=keys,
        call_limits=CallLimits(
            key_count=settings.control.key_calls_per_minute,
            tenant_count=settings.control.tenant_calls_per_minute,
            now_ms=lambda: time.monotonic_ns() // 1_000_000,
        ),
        tenants=Tenants(home.catalogue, keys, home=settings.tenant, now_ms=wall_clock_ms),
        registry=exposed(sidecar.metrics),
    )
    environments = Environments(sidecar, home, lambda each: _parts(sidecar, each, shared))
    stack.push_async_callback(environments.close)
    home.catalogue.follow(environments.look)
    opening = sidecar.tasks.start(environments.run(keys), "environments")
    stack.callback(opening.cancel)
    _measure(sidecar, home, environments)
    # Whoever settles by a token shows no key: the token says whose it is.
    parts = replace(_parts(sidecar, home, shared), deferred=AnyDeferred(environments.deferred))
    await _listen(sidecar, make_app(parts, environments.parts), stack)


class Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What all tenants' endpoints have in common."""

    control_keys: ControlKeys
    call_limits: CallLimits
    tenants: Tenants
    registry: CollectorRegistry


def _parts(sidecar: Sidecar, environment: Environment, shared: Shared) -> Parts:
    """What the endpoints of one tenant's environment work with."""
    realm, wanted = environment.realm, sidecar.settings.control
    if wanted.overage_policy != "block":
        policy = Overage(OveragePolicy(wanted.overage_policy), wanted.overage_limit or None)
        realm.customers.overage_of_new = {CREDITS.name: policy}
    names = {"tenant": realm.tenant, "environment": realm.environment}
    ledger, history, once_records = realm.ledger, environment.history, realm.once_records
    counters, open_holds = Counters(realm.lane, **names), OpenHolds(realm.lane, **names)
    pricing = Pricing(environment.catalogue, realm.time.now_ms)
    reservations = Reservations(ledger, open_holds, counters, history, pricing)
    accounts, corrections = Accounts(realm.lane, **names), Corrections(realm.lane, **names)
    entitlements = Entitlements(realm.lane, realm.customers, **names)
    return Parts(
        accounts=accounts,
        audit_trail=environment.trail,
        call_limits=shared.call_limits,
        counters=counters,
        spend_caps=SpendCaps(realm.lane, **names),
        open_holds=open_holds,
        catalogue=environment.catalogue,
        checking=Checking(entitlements, pricing, sidecar.reloading),
        control_keys=shared.control_keys,
        customers=realm.customers,
        corrections=corrections,
        deferred=realm.deferred,
        denials=DenialCounts(realm.lane, **names),
        once_records=once_records,
        history=history,
        merging=Merging(
            realm.customers,
            accounts,
            open_holds,
            Leases(realm.lane, **names),
            environment.transferring,
            history,
            realm.time.now_ms,
        ),
        periods=Periods(realm.lane, **names),
        purchases=Purchases(realm.lane, **names),
        refunding=Refunding(accounts, corrections, history),
        reloading=sidecar.reloading,
        signer=realm.signer,
        pricing=pricing,
        reservations=reservations,
        usage=Usage(ledger, reservations, open_holds, counters, once_records, history),
        watching=Watching(environment.archive, history),
        tenants=shared.tenants,
        transferring=environment.transferring,
        units=units_of(sidecar.settings),
        auto_create_customers=sidecar.settings.control.auto_create_customers,
        ready=sidecar.not_ready,
        clock=realm.clock,
        now_ms=realm.time.now_ms,
        registry=shared.registry,
    )


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


def _measure(sidecar: Sidecar, home: Environment, all_of: Environments) -> None:
    """Numbers are of all environments together, ages the worst of them; who works is said of the operator's own."""
    gauge, total = sidecar.metrics.gauge, sidecar.metrics.total

    def summed(of: Callable[[Environment], int]) -> Callable[[], int]:
        return lambda: sum(of(each) for each in all_of)

    gauge("sidecar_worker_active", "1 while this process sweeps and archives for all.", lambda: int(home.lease.held))
    gauge("sidecar_environments", "Environments of tenants that are open.", summed(lambda _: 1))
    gauge(
        "sidecar_catalogue_age_seconds",
        "How long ago this process last knew that what the operator wrote is as the archive has it.",
        lambda: max(time.time_ns() // 1_000_000 - each.catalogue.refreshed_at_ms for each in all_of) / 1000,
    )
    gauge(
        "sidecar_archive_lag_seconds",
        "Age of the oldest line to archive.",
        lambda: max(each.archiver.lag_ms for each in all_of) / 1000,
    )
    for name, says, of in _TOTALS:
        total(name, says, summed(of))
    for name, says, of in _GAUGES:
        gauge(name, says, summed(of))


_TOTALS: Final[tuple[tuple[str, str, Callable[[Environment], int]], ...]] = (
    ("sidecar_holds_expired", "Overdue holds that were given back.", lambda each: each.sweeper.expired_total),
    ("sidecar_sweeps_failed", "Sweeps that the store failed.", lambda each: each.sweeper.failures_total),
    (
        "sidecar_payers_corrupt",
        "Sweeps of a payer whose books cannot be read.",
        lambda each: each.realm.ledger.corrupt_total,
    ),
    (
        "sidecar_transfers_finished",
        "Transfers that somebody had begun and not finished.",
        lambda each: each.transferring.finished_total,
    ),
    ("sidecar_archive_entries", "Journal lines that were archived.", lambda each: each.archiver.archived_total),
    ("sidecar_archive_events", "Events that were written.", lambda each: each.archiver.events_total),
    ("sidecar_archive_failures", "Attempts to archive that failed.", lambda each: each.archiver.failures_total),
    ("sidecar_archive_anomalies", "Archived lines that cannot be right.", lambda each: each.archiver.anomalies_total),
)
_GAUGES: Final[tuple[tuple[str, str, Callable[[Environment], int]], ...]] = (
    (
        "sidecar_archive_waiting_entries",
        "Journal lines to archive, at the last look.",
        lambda each: each.archiver.waiting,
    ),
    (
        "sidecar_archive_stopped_partitions",
        "Partitions that cannot be archived.",
        lambda each: len(each.archiver.stopped),
    ),
    (
        "sidecar_archive_behind_partitions",
        "Partitions of which history was lost.",
        lambda each: len(each.archiver.behind),
    ),
)
