"""The real store behind the protocol of `drivers`. Customer ids are its own; answers have the names of the test."""

import os
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from sidecar.domain.blocks import Grant, Slice
from sidecar.domain.book_holds import Reservation
from sidecar.domain.book_members import Pool
from sidecar.domain.counters import Advance, CounterState
from sidecar.domain.history import BlockSums
from sidecar.domain.ids import new_id
from sidecar.domain.journal import Kind, Line, Position
from sidecar.domain.once import Once
from sidecar.domain.outcomes import (
    Account,
    Bought,
    Changed,
    CountersMoved,
    Ended,
    Exceeded,
    Granted,
    OpenHold,
    Overrun,
    Refunded,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Sent,
    Settled,
    Short,
    Taken,
    TakenBack,
    UnknownReservation,
)
from sidecar.domain.overage import Overage, OveragePolicy
from sidecar.domain.periods import Closing, Turned
from sidecar.domain.spend_caps import CapStand, SpendCap
from sidecar.domain.transfers import Room
from sidecar.store.accounts import Accounts
from sidecar.store.corrections import Charged, Corrections
from sidecar.store.counters import Counters
from sidecar.store.customers import Customers
from sidecar.store.hold_record import HoldRecord
from sidecar.store.journal import Journal
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.ledger import CommitTerms, Ledger, PaidBy
from sidecar.store.open_holds import OpenHolds
from sidecar.store.periods import Periods
from sidecar.store.purchases import Purchases
from sidecar.store.spend_caps import SpendCaps
from sidecar.store.transfers import Transfers
from tests.ledger.drivers import PAYER, START_MS, story_of, way_of
from tests.support.clock import StoreClock

TENANT, ENVIRONMENT = "default", "live"
_PAGE = 500


class StoreDriver:
    """Wants a lane to an empty store whose scripts ask this clock. `open` first.

    `known` says what the archive knows of a block: here there is none.
    """

    def __init__(self, lane: Lane, clock: StoreClock, known: Callable[[str, str], BlockSums] | None = None) -> None:
        names = {"tenant": TENANT, "environment": ENVIRONMENT}
        self._lane = lane
        self._clock = clock
        self._known = known
        self._keys = Keys(**names)
        self._accounts = Accounts(lane, **names)
        self._customers = Customers(lane, **names)
        self._holds = OpenHolds(lane, **names)
        self._journal = Journal(lane, **names)
        self._ledger = Ledger(lane, **names)
        self._corrections = Corrections(lane, **names)
        self._purchases = Purchases(lane, **names)
        self._periods = Periods(lane, **names)
        self._transfers = Transfers(lane, **names)
        self._counters = Counters(lane, **names)
        self._caps = SpendCaps(lane, **names)
        self._ids: dict[str, str] = {}
        self._lines: list[Line] = []
        self._position = Position()

    @property
    def now_ms(self) -> int:
        return self._clock.now_ms

    async def open(self) -> None:
        """At `START_MS`, with a payer who has nothing."""
        self._clock.tick(START_MS - self.now_ms)
        payer, _ = await self._customers.create(external_id=PAYER, now_ms=self.now_ms)
        self._ids[PAYER] = payer.customer_id

    async def tick(self, ms: int) -> None:
        self._clock.tick(ms)

    async def join(self, member: str) -> None:
        customer, _ = await self._customers.create(external_id=member, now_ms=self.now_ms, parent_id=self._ids[PAYER])
        self._ids[member] = customer.customer_id

    async def set_cap(self, member: str, unit: str, cap: int | None) -> None:
        await self._customers.set_pool_cap(self._ids[member], unit, cap)

    async def pool(self, member: str, unit: str) -> Pool:
        share = await self._customers.pool_share(self._ids[member], unit)
        return Pool(cap=share.cap, held=share.held, spent=share.spent)

    async def allow_overage(self, unit: str, most: int) -> None:
        overage = Overage(OveragePolicy.ALLOW if most else OveragePolicy.BLOCK, most or None)
        payer_id = self._ids[PAYER]
        await self._customers.update(payer_id, lambda payer: replace(payer, overage={**payer.overage, unit: overage}))

    async def suspend(self, customer: str) -> None:
        await self._lane.execute("HSET", self._keys.of(self._ids[customer]).customer, "status", "suspended")

    async def resume(self, customer: str) -> None:
        await self._lane.execute("HSET", self._keys.of(self._ids[customer]).customer, "status", "active")

    async def grant(self, grant: Grant, once: Once) -> Granted:
        return await self._accounts.grant(self._ids[PAYER], grant, once)

    async def void(self, unit: str, block: str, once: Once) -> Changed:
        return await self._accounts.void(self._ids[PAYER], unit, block, once)

    async def extend(self, unit: str, block: str, expires_at_ms: int | None, once: Once) -> Changed:
        return await self._accounts.extend(self._ids[PAYER], unit, block, expires_at_ms, once)

    async def take_back(
        self, unit: str, block: str, amount: int | None, policy: Overrun, once: Once
    ) -> TakenBack | None:
        assert self._known is not None
        known = self._known(unit, block)
        return await self._accounts.take_back(self._ids[PAYER], block, known, amount, once, overrun=policy)

    async def take(self, unit: str, amount: int, owe: bool, once: Once) -> Taken | Short:
        detail = {"reason": "asked"}
        return await self._corrections.take(
            self._ids[PAYER], unit, amount, kind=Kind.ADJUSTMENT, owe=owe, once=once, detail=detail
        )

    async def buy(self, grant: Grant, once: Once) -> Bought | Short:
        return await self._purchases.buy(self._ids[PAYER], grant, once, {})

    async def turn(self, unit: str, closing: Closing | None, grant: Grant | None, once: Once) -> Turned:
        return await self._periods.turn(self._ids[PAYER], unit, closing, grant, once, {})

    async def send(self, unit: str, amount: int | None, owe: bool, room: Room, once: Once) -> Sent | Short:
        way = way_of(self._ids[PAYER], unit, once)
        return await self._transfers.send(way, amount, room, owe=owe, once=once, detail={})

    async def refund(
        self, unit: str, reference: str, most: int, slices: Sequence[Slice], by: str, amount: int | None, rest: Grant,
        caps: Sequence[str], once: Once,
    ) -> Refunded | Exceeded:  # fmt: skip
        charged = Charged(
            reference=reference,
            amount=most,
            slices=tuple(slices),
            story=story_of(self._id(by)),
            member="" if by == PAYER else self._id(by),
            caps=tuple(caps),
        )
        return await self._corrections.refund(self._ids[PAYER], unit, charged, amount, rest, once)

    async def reserve(self, reservation: Reservation) -> Reserved | Refused | Ended | CountersMoved:
        credential = f"external:{reservation.customer_id}"
        ask = self._ledger.reserve_and_claim if reservation.claims else self._ledger.reserve
        outcome = await ask(self._record(reservation), credential)
        if isinstance(outcome, PaidBy):
            outcome = await ask(self._record(reservation), credential)
        assert not isinstance(outcome, PaidBy)
        return outcome

    async def resize(
        self, reservation: Reservation, amounts: Sequence[int], ttl_ms: int | None
    ) -> Reserved | Refused | UnknownReservation | Resolved:
        return await self._ledger.resize(self._record(reservation), amounts, ttl_ms or 0)

    async def commit(
        self, reservation: Reservation, charges: Sequence[int], *, step: int, policy: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        first, *others = charges
        terms = CommitTerms(step=step, overrun=policy, others=tuple(others))
        return await self._ledger.commit(self._record(reservation), first, "units=1", "reported", terms)

    async def count(
        self, reservation: Reservation, charge: int, advances: Sequence[Advance]
    ) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
        record = self._record(reservation)
        return await self._ledger.commit_and_count(record, charge, "units=1", "reported", advances)

    async def charge(
        self, reservation: Reservation, cost: int, paid_by: str, policy: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        for _ in range(2):
            record = self._record(reservation)
            charge = self._ledger.charge(record, cost, "units=1", "reported", overrun=policy, paid_by=paid_by)
            outcome = await charge
            if not isinstance(outcome, PaidBy):
                return outcome
        raise AssertionError("it has learnt who pays")

    async def counters(self) -> list[CounterState]:
        return await self._counters.of(self._ids[PAYER])

    async def add_spend_cap(self, customer: str, cap: SpendCap) -> None:
        await self._caps.add(self._ids[PAYER], self._ids[customer], cap)

    async def remove_spend_cap(self, customer: str, cap: SpendCap) -> None:
        await self._caps.remove(self._ids[PAYER], self._ids[customer], cap.unit, cap.cap_id)

    async def spend_caps(self, customer: str, unit: str) -> list[CapStand]:
        return await self._caps.of(self._ids[PAYER], self._ids[customer], unit)

    async def release(self, reservation: Reservation) -> Settled | UnknownReservation | Resolved:
        return await self._ledger.release(self._record(reservation), "asked")

    async def sweep(self) -> int:
        _, expired = await self._ledger.sweep(self._keys.partition(self._ids[PAYER]), _PAGE)
        return expired

    async def account(self, unit: str) -> Account:
        return await self._accounts.account(self._ids[PAYER], unit)

    async def open_holds(self) -> list[OpenHold]:
        holds, cursor = await self._holds.page(customer_id=self._ids[PAYER], limit=_PAGE, cursor=None)
        assert cursor is None
        return [self._named(hold) for hold in holds]

    async def lines(self) -> list[Line]:
        partition = self._keys.partition(self._ids[PAYER])
        while read := await self._journal.read(partition, self._position, _PAGE):
            self._position = read[-1].position
            self._lines += [
                self._named_line(line)
                for line in read
                if isinstance(line, Line) and line.customer_id == self._ids[PAYER]
            ]
        return self._lines

    def _record(self, reservation: Reservation) -> HoldRecord:
        return self._ledger.hold(
            self._id(reservation.customer_id),
            reservation.reservation_id,
            tuple((part.unit, part.amount) for part in reservation.parts),
            reservation.ttl_ms,
            reservation.feature,
            reservation.rule,
            remember=reservation.remember,
            claims=reservation.claims,
        )

    def _id(self, name: str) -> str:
        """A stranger gets an id that nobody has."""
        if name not in self._ids:
            self._ids[name] = new_id("cus", self.now_ms, os.urandom(10))
        return self._ids[name]

    def _name(self, customer_id: str) -> str:
        return next(name for name, known in self._ids.items() if known == customer_id)

    def _named(self, hold: OpenHold) -> OpenHold:
        others = tuple(self._named(other) for other in hold.others)
        return replace(hold, customer_id=self._name(hold.customer_id), payer_id=PAYER, others=others)

    def _named_line(self, line: Line) -> Line:
        hold = line.hold and replace(line.hold, customer_id=self._name(line.hold.customer_id))
        return replace(line, customer_id=PAYER, hold=hold)
