"""A control API on a real socket over a real store and a real archive."""

import asyncio
import io
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDictProxy
from prometheus_client import CollectorRegistry
from yarl import URL

from sidecar.archive.archive import Archive
from sidecar.control.app import make_app
from sidecar.control.endpoint import Parts, wall_clock_ms
from sidecar.control.schema import Problem
from sidecar.domain.amounts import CREDITS, Unit
from sidecar.domain.blocks import Grant
from sidecar.domain.metering import Bill, Meters, Tariff
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Granted, Reserved
from sidecar.domain.price import Price
from sidecar.domain.tokens import Signer
from sidecar.services.archiver import Archiver
from sidecar.services.audit_trail import AuditTrail
from sidecar.services.call_limits import CallLimits
from sidecar.services.catalogue import Catalogue
from sidecar.services.checking import Checking
from sidecar.services.clock import timed
from sidecar.services.control_keys import ControlKeys
from sidecar.services.deferred import Deferred
from sidecar.services.history import History
from sidecar.services.hold import Hold
from sidecar.services.merging import Merging
from sidecar.services.pricing import Pricing
from sidecar.services.refunding import Refunding
from sidecar.services.reloading import Reloading
from sidecar.services.reservations import Reservations
from sidecar.services.tenants import Tenants
from sidecar.services.transferring import Transferring
from sidecar.services.usage import Usage
from sidecar.services.watching import Watching
from sidecar.services.written import Written
from sidecar.store.accounts import Accounts
from sidecar.store.corrections import Corrections
from sidecar.store.counters import Counters
from sidecar.store.customers import Customers
from sidecar.store.denials import DenialCounts
from sidecar.store.entitlements import Entitlements
from sidecar.store.hold_record import HoldRecord
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.store.leases import Leases
from sidecar.store.ledger import Ledger, PaidBy
from sidecar.store.once import OnceRecords
from sidecar.store.open_holds import OpenHolds
from sidecar.store.periods import Periods
from sidecar.store.purchases import Purchases
from sidecar.store.shifted_lane import Shift
from sidecar.store.spend_caps import SpendCaps
from sidecar.store.transfers import Transfers
from sidecar.tasks import Tasks
from tests.support.archives import new_archive

OWNER: dict[str, str] = {"tenant": "default", "environment": "live"}
ADMIN_KEY = "ck_live_0123456789abcdefghij"
SIGNING_KEY = b"s" * 32
UNITS = {"credits": CREDITS, "tokens": Unit(name="tokens", scale=0)}
RULES = Path(__file__).parents[1] / "cli" / "rules.yaml"


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def replayed(self) -> bool:
        return self.headers.get("Idempotent-Replayed") == "true"


def assert_problem(answer: Answer, status: int, code: str) -> None:
    """A complete problem document with a matching request id, and nothing that the schema does not name."""
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = msgspec.json.decode(answer.raw, type=Problem)
    assert (document.status, document.code) == (status, code)
    assert document.instance == answer.headers["x-request-id"]
    assert document.title
    assert document.detail.endswith(".")


class Readiness:
    """Whether the process is ready: it is, until a test says otherwise."""

    def __init__(self) -> None:
        self.asked: Callable[[], str | None] = lambda: None

    def __call__(self) -> str | None:
        return self.asked()


class Control(msgspec.Struct, kw_only=True):
    """The running API, what is behind it, and a client that sends paths as they are."""

    parts: Parts
    url: str
    session: aiohttp.ClientSession
    lane: Lane
    accounts: Accounts
    ledger: Ledger
    customers: Customers
    history: History
    archiver: Archiver
    archiving: Tasks
    readiness: Readiness
    registry: CollectorRegistry
    reloading: Reloading

    def archive(self) -> None:
        """Let the archive follow the store, until `archiving` is cancelled."""
        self.archiving.start(self.archiver.run(), "archiver")

    async def ask(
        self, method: str, target: str, body: object = None, *, key: str | None = ADMIN_KEY, **headers: str
    ) -> Answer:
        """`body` is bytes, or is sent as JSON. A header `Idempotency_Key` stands for ``Idempotency-Key``."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            fields["Authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        url, sent = URL(self.url + target, encoded=True), io.BytesIO(data) if data else None
        async with self.session.request(method, url, data=sent, headers=fields) as got:
            return Answer(got.status, got.headers, await got.read())

    async def customer(self, external_id: str = "alice") -> str:
        """The id of a customer that exists from now on."""
        answer = await self.ask("POST", "/v1/customers", {"external_id": external_id})
        customer_id: str = answer.json["customer_id"]
        return customer_id

    async def grant(self, path: str, amount: int, key: str, **terms: object) -> Answer:
        return await self.ask("POST", f"{path}/credits/grant", {"credits": amount, **terms}, Idempotency_Key=key)

    async def member(self, external_id: str, parent_id: str) -> str:
        """The id of a new member of a pool."""
        body = {"external_id": external_id, "parent_customer_id": parent_id}
        customer_id: str = (await self.ask("POST", "/v1/customers", body)).json["customer_id"]
        return customer_id

    async def grant_unit(self, customer_id: str, unit: str, amount: int) -> Granted:
        """Credit in any unit, also in one that is not configured."""
        grant = Grant(block_id=f"blk_{unit}", unit=unit, amount=amount, source="test")
        return await self.accounts.grant(customer_id, grant, Once(f"for-{unit}", "ab"))

    async def hold(
        self, customer_id: str, reservation_id: str, amount: int, *, external_id: str = "alice", rule: str = "chat"
    ) -> HoldRecord:
        """Hold an amount of credits for a request of this customer, or of a member of its pool."""
        record = self.ledger.hold(customer_id, reservation_id, (("credits", amount),), 60_000, "writing", rule)
        outcome = await self.ledger.reserve(record, f"external:{external_id}")
        if isinstance(outcome, PaidBy):
            return await self.hold(customer_id, reservation_id, amount, external_id=external_id, rule=rule)
        assert isinstance(outcome, Reserved), outcome
        return record

    async def charged_entry(self, customer_id: str, amount: int, *, external_id: str = "alice") -> str:
        """The entry of a new charge of `amount`."""
        record = await self.hold(customer_id, f"r-{amount}", amount, external_id=external_id)
        await self.ledger.commit(record, amount, "input_tokens=3 model=large", "reported")
        newest = await self.ask("GET", f"/v1/customers/{customer_id}/ledger?type=commit&limit=1")
        entry_id: str = newest.json["data"][0]["entry_id"]
        return entry_id

    async def settle_token(self, customer_id: str, reservation_id: str = "rsv_later") -> str:
        """By which a request is settled that holds 300 base units, and pays 10 and 2 for each ms of a GPU."""
        record = self.ledger.hold(customer_id, reservation_id, (("credits", 300),), 60_000, "", "job", remember=True)
        assert isinstance(await self.ledger.reserve(record, "external:alice"), Reserved)
        quote = Bill(Tariff(Meters()), Price.of({"gpu_ms": Fraction(2)}, 10), 300)
        return Deferred(self.ledger, Signer(lambda: SIGNING_KEY, **OWNER)).token(quote, Hold(record, 0), 60)


@asynccontextmanager
async def serving(
    lane: Lane, archive_timeout_s: float = 10.0, *, auto_create_customers: bool = False
) -> AsyncIterator[Control]:
    """The API over the store that `lane` leads to, and over an empty archive that follows it."""
    with tempfile.TemporaryDirectory(prefix="archive-") as folder:
        archive, tasks, archiving = Archive(new_archive(Path(folder))), Tasks(), Tasks()
        await archive.open()
        journal = Journal(lane, **OWNER)
        written = Written(journal, tasks=tasks, timeout_s=archive_timeout_s, nudge=lambda: archiver.nudge())  # noqa: PLW0108  (it comes next)
        archiver = Archiver(journal, archive, passed=written.passed)
        try:
            history, readiness = History(archive, journal, written), Readiness()
            trail = AuditTrail(archive, timeout_s=archive_timeout_s, retry_s=0.01)
            recording = tasks.start(trail.run(), "audit trail")
            parts = _parts(lane, archive, history, trail, readiness)
            parts = msgspec.structs.replace(parts, auto_create_customers=auto_create_customers)
            async with _listening(lane, parts, readiness, archiver, archiving) as control:
                control.archive()
                yield control
            trail.close()
            await asyncio.wait((recording,), timeout=1)
        finally:
            await archiving.cancel()
            await tasks.cancel()
            await archive.close()


def _parts(lane: Lane, archive: Archive, history: History, trail: AuditTrail, readiness: Readiness) -> Parts:
    time = Shift()
    lane, clock = timed(lane, time, tenant=OWNER["tenant"], environment="test")
    accounts, corrections, catalogue = Accounts(lane, **OWNER), Corrections(lane, **OWNER), Catalogue(archive)
    ledger, open_holds, counters = Ledger(lane, **OWNER), OpenHolds(lane, **OWNER), Counters(lane, **OWNER)
    pricing, reloading = Pricing(catalogue, time.now_ms), Reloading([RULES], {"credits": CREDITS})
    reservations = Reservations(ledger, open_holds, counters, history, pricing)
    keys = ControlKeys(catalogue, ADMIN_KEY, **OWNER, now_ms=wall_clock_ms)
    customers, transferring = Customers(lane, **OWNER), Transferring(accounts, Transfers(lane, **OWNER), history)
    return Parts(
        accounts=accounts,
        audit_trail=trail,
        call_limits=CallLimits(key_count=6_000, tenant_count=30_000, now_ms=wall_clock_ms),
        counters=Counters(lane, **OWNER),
        spend_caps=SpendCaps(lane, **OWNER),
        open_holds=OpenHolds(lane, **OWNER),
        catalogue=catalogue,
        checking=Checking(Entitlements(lane, Customers(lane, **OWNER), **OWNER), pricing, reloading),
        control_keys=keys,
        customers=customers,
        corrections=corrections,
        denials=DenialCounts(lane, **OWNER),
        deferred=Deferred(Ledger(lane, **OWNER), Signer(lambda: SIGNING_KEY, **OWNER)),
        once_records=OnceRecords(lane, **OWNER),
        history=history,
        periods=Periods(lane, **OWNER),
        purchases=Purchases(lane, **OWNER),
        refunding=Refunding(accounts, corrections, history),
        reloading=reloading,
        signer=Signer(lambda: SIGNING_KEY, **OWNER),
        pricing=pricing,
        reservations=reservations,
        usage=Usage(ledger, reservations, open_holds, counters, OnceRecords(lane, **OWNER), history),
        watching=Watching(archive, history),
        tenants=Tenants(catalogue, keys, home=OWNER["tenant"], now_ms=wall_clock_ms),
        transferring=transferring,
        merging=Merging(customers, accounts, open_holds, Leases(lane, **OWNER), transferring, history, time.now_ms),
        units=UNITS,
        auto_create_customers=False,
        clock=clock,
        now_ms=time.now_ms,
        ready=readiness,
        registry=CollectorRegistry(),
    )


@asynccontextmanager
async def _listening(
    lane: Lane, parts: Parts, readiness: Readiness, archiver: Archiver, archiving: Tasks
) -> AsyncIterator[Control]:
    runner = web.AppRunner(make_app(parts), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Control(
            parts=parts,
            url=f"http://127.0.0.1:{runner.addresses[0][1]}",
            session=session,
            lane=lane,
            accounts=parts.accounts,
            ledger=Ledger(lane, **OWNER),
            customers=parts.customers,
            history=parts.history,
            archiver=archiver,
            archiving=archiving,
            readiness=readiness,
            registry=parts.registry,
            reloading=parts.reloading,
        )
    await runner.cleanup()
