"""Any sequence of operations on the model and on a real store: the same answers, the same accounts, the same lines.

One payer with two members, two units, time included. After each step (but a tick: what is due shall be found by the
next operation) all of it is compared, and everything must add up. By default some thousand operations; the long run:

    LEDGER_MACHINE_OPERATIONS=1000000 pytest tests/ledger/test_machine.py

What it finds becomes a scenario.
"""

import asyncio
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from msgspec.structs import replace

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import Grant
from sidecar.domain.book_holds import Part, Reservation
from sidecar.domain.counters import Advance, Counter
from sidecar.domain.journal import Kind
from sidecar.domain.outcomes import Granted, Overrun, Reserved, Settled
from sidecar.domain.spend_caps import CapScope, SpendCap, Window
from sidecar.store.address import parse_address
from sidecar.store.lanes import make_lane
from tests.ledger.compared import UNITS
from tests.ledger.drivers import PAYER
from tests.ledger.writing import Writing, charges, recent, spans_ms
from tests.support.clock import StoreClock

STEPS = 50
OPERATIONS = int(os.environ.get("LEDGER_MACHINE_OPERATIONS", "5000"))
DAY_MS = 86_400_000

PAGES, CALLS = Counter("ocr/pages@2023-11", MAX_AMOUNT), Counter("api_calls@ever", MAX_AMOUNT)
"""When old ones are forgotten is not specified, so these are kept."""

NOTHING = Reservation(reservation_id="R0", customer_id=PAYER, parts=(Part("credits", 0),), ttl_ms=1)

amounts = st.sampled_from([10, 5, 1, 0, 20, 30, 40, 60])
ends_of_ranges = st.none() | st.sampled_from([0, 1, 5, 20, 40])
features = st.sampled_from(["", "chat", "image"])


class LedgerMachine(Writing):
    """The operations; each run begins with an empty store."""

    def __init__(self) -> None:
        super().__init__()
        self.run(self.lane.execute("FLUSHALL"))
        self.run(self.store.open())
        for member in ("ben", "cem"):
            self.both("join", member)
        self.blocks: list[Grant] = []
        self.asked = {"R0": NOTHING}
        self.commits: list[tuple[str, list[int]]] = []
        self.claiming: list[Reservation] = []
        self.capped: list[tuple[str, SpendCap]] = []
        for unit in UNITS:
            self.give(unit, 100)

    # Blocks

    @rule(
        unit=st.sampled_from(UNITS),
        amount=st.sampled_from([50, 1, 20, 100]),
        priority=st.integers(-1, 1),
        paid=st.booleans(),
        scope=st.sampled_from([(), (), ("chat",), ("chat", "image")]),
        start_ms=st.sampled_from([0, 0, 1000, 3000]),
        end=st.sampled_from(["never", "expiry", "duration"]),
        span_ms=spans_ms,
    )
    def grant(
        self,
        unit: str,
        amount: int,
        priority: int,
        paid: bool,
        scope: tuple[str, ...],
        start_ms: int,
        end: str,
        span_ms: int,
    ) -> None:
        self.give(
            unit,
            amount,
            priority=priority,
            price_paid=int(paid),
            currency="EUR",
            eligible_features=scope,
            starts_at_ms=self.model.now_ms + start_ms if start_ms else None,
            expires_at_ms=self.model.now_ms + start_ms + span_ms if end == "expiry" else None,
            duration_ms=span_ms if end == "duration" else None,
        )

    @rule(
        what=st.sampled_from(["series", "business", "after", "after"]),
        amount=st.sampled_from([10, 20, 60]),
        cap=st.integers(0, 100),
        key=st.sampled_from(["k1", "k2"]),
        which=recent,
        span_ms=st.none() | spans_ms,
    )
    def grant_otherwise(self, what: str, amount: int, cap: int, key: str, which: int, span_ms: int | None) -> None:
        before = self.blocks[-1 - which % len(self.blocks)]
        if what == "series":
            self.give(before.unit, amount, series="plan", cap=cap)
        elif what == "business":
            self.give("credits", amount, dedup_key=key, external_payment_id="p1" if which else None)
        else:
            self.give(before.unit, amount, starts_after_block_id=before.block_id, duration_ms=span_ms)

    def give(self, unit: str, amount: int, **terms: Any) -> None:
        number = next(self.number)
        bonus, terms["wallet"] = 7 if number % 5 == 0 else 0, "fun" if number % 3 == 0 else ""
        grant = Grant(block_id=f"G{number}", unit=unit, amount=amount, source="test", bonus=bonus, **terms)
        granted = self.write("grant", grant)
        if isinstance(granted, Granted) and granted.block_id == grant.block_id:
            self.blocks.append(grant)

    @rule(which=recent, ahead_ms=st.none() | st.sampled_from([-1000, 0, 1000, 4000]), void=st.booleans())
    def change_a_block(self, which: int, ahead_ms: int | None, void: bool) -> None:
        block = self.blocks[-1 - which % len(self.blocks)]
        at_ms = None if ahead_ms is None else self.model.now_ms + ahead_ms
        if void:
            self.write("void", block.unit, block.block_id)
        else:
            self.write("extend", block.unit, block.block_id, at_ms)

    @rule(which=recent, amount=st.sampled_from([None, 1, 10, 50]), policy=st.sampled_from([Overrun.OWE, Overrun.CAP]))
    def take_back(self, which: int, amount: int | None, policy: Overrun) -> None:
        block = self.blocks[-1 - which % len(self.blocks)]
        self.write("take_back", block.unit, block.block_id, amount, policy)

    # Holds

    @rule(
        credit=st.none() | amounts,
        tokens=st.none() | amounts,
        by=st.sampled_from([PAYER, PAYER, "ben", "cem"]),
        feature=features,
        ttl_ms=spans_ms,
        remember=st.booleans(),
        again=st.booleans(),
        which=recent,
    )
    def reserve(
        self,
        credit: int | None,
        tokens: int | None,
        by: str,
        feature: str,
        ttl_ms: int,
        remember: bool,
        again: bool,
        which: int,
    ) -> None:
        """With a fresh id, or one that was heard of: open, ended, dead or forgotten."""
        parts = [
            Part(unit, amount) for unit, amount in zip(UNITS, (credit, tokens), strict=True) if amount is not None
        ]
        reservation = Reservation(
            reservation_id=self.known(which).reservation_id if again else f"R{next(self.number)}",
            customer_id=by,
            parts=tuple(parts) or (Part("credits", 5),),
            ttl_ms=ttl_ms,
            feature=feature,
            remember=remember,
        )
        reserved = self.both("reserve", reservation)
        if isinstance(reserved, Reserved):
            self.hear_of(reservation)

    @rule(which=recent)
    def reserve_again(self, which: int) -> None:
        self.both("reserve", self.known(which))

    @rule(
        which=recent,
        charge=charges,
        other=charges,
        policy=st.sampled_from([Overrun.OWE, Overrun.OWE, Overrun.CAP, Overrun.REJECT]),
    )
    def commit(self, which: int, charge: int, other: int, policy: Overrun) -> None:
        asked = self.known(which)
        parts = [charge, other][: len(asked.parts)]
        self.both("commit", asked, parts, step=0, policy=policy)
        self.commits.append((asked.reservation_id, parts))

    @rule(which=recent)
    def commit_again(self, which: int) -> None:
        if self.commits:
            name, parts = self.commits[-1 - which % len(self.commits)]
            asked = self.asked[name]
            self.both("commit", asked, (parts * 2)[: len(asked.parts)], step=0, policy=Overrun.OWE)

    @rule(which=recent, charge=charges, other=charges, step=st.integers(1, 3), policy=st.sampled_from(Overrun))
    def commit_a_step(self, which: int, charge: int, other: int, step: int, policy: Overrun) -> None:
        asked = self.known(which)
        self.both("commit", asked, [charge, other][: len(asked.parts)], step=step, policy=policy)

    @rule(
        which=recent,
        payer=st.none() | recent,
        unit=st.sampled_from(UNITS),
        by=st.sampled_from([PAYER, PAYER, "ben"]),
        cost=charges,
        feature=features,
        policy=st.sampled_from([Overrun.OWE, Overrun.CAP]),
        again=st.booleans(),
    )
    def charge(
        self, which: int, payer: int | None, unit: str, by: str, cost: int, feature: str, policy: Overrun, again: bool
    ) -> None:
        """Without a hold: with a fresh id, or one that was heard of; another hold pays, or none does."""
        reservation = Reservation(
            reservation_id=self.known(which).reservation_id if again else f"R{next(self.number)}",
            customer_id=by,
            parts=(Part(unit, 5),),
            ttl_ms=1000,
            feature=feature,
            remember=True,
        )
        paid_by = "" if payer is None else self.known(payer).reservation_id
        charged = self.both("charge", reservation, cost, paid_by, policy)
        if isinstance(charged, Settled) and not charged.replayed:
            self.hear_of(reservation)
            self.both("charge", reservation, cost, paid_by, policy)

    @rule(which=recent, first=st.booleans())
    def release(self, which: int, first: bool) -> None:
        """`first`: before its reserve."""
        if first:
            self.hear_of(replace(NOTHING, reservation_id=f"R{next(self.number)}"))
        self.both("release", self.known(0 if first else which))

    @rule(which=recent, amount=amounts, other=amounts, ttl_ms=st.none() | spans_ms)
    def resize(self, which: int, amount: int, other: int, ttl_ms: int | None) -> None:
        asked = self.known(which)
        self.both("resize", asked, [amount, other][: len(asked.parts)], ttl_ms)

    def known(self, which: int) -> Reservation:
        return list(self.asked.values())[-1 - which % len(self.asked)]

    def hear_of(self, reservation: Reservation) -> None:
        """It is the newest now, and these are the terms that its settlements go by."""
        self.asked.pop(reservation.reservation_id, None)
        self.asked[reservation.reservation_id] = reservation

    # Counters

    @rule(
        amount=amounts,
        units=st.sampled_from([0, 1, 5, 20]),
        other=st.none() | st.integers(1, 3),
        low=ends_of_ranges,
        high=ends_of_ranges,
        by=st.sampled_from([PAYER, PAYER, "ben"]),
        ttl_ms=spans_ms,
        remember=st.booleans(),
    )
    def claim(
        self,
        amount: int,
        units: int,
        other: int | None,
        low: int | None,
        high: int | None,
        by: str,
        ttl_ms: int,
        remember: bool,
    ) -> None:
        first = Advance(PAGES, units, low or 0, MAX_AMOUNT if high is None else high)
        reservation = Reservation(
            reservation_id=f"R{next(self.number)}",
            customer_id=by,
            parts=(Part("credits", amount),),
            ttl_ms=ttl_ms,
            remember=remember,
            claims=(first,) if other is None else (first, Advance(CALLS, other)),
        )
        reserved = self.both("reserve", reservation)
        if isinstance(reserved, Reserved):
            self.claiming.append(reservation)

    @rule(which=recent, charge=charges, units=st.integers(-5, 30), low=ends_of_ranges, high=ends_of_ranges)
    def count(self, which: int, charge: int, units: int, low: int | None, high: int | None) -> None:
        asked = self.claiming[-1 - which % len(self.claiming)] if self.claiming else self.known(which)
        if units < 0 or not asked.claims:
            self.both("release", asked)
        else:
            first, *rest = (Advance(claim.counter, units) for claim in asked.claims)
            first = replace(first, low=low or 0, high=MAX_AMOUNT if high is None else high)
            self.both("count", asked, charge, [first, *rest])

    # Spend caps

    @rule(
        by=st.sampled_from([PAYER, PAYER, "ben"]),
        amount=st.sampled_from([30, 100, 60, 0]),
        window=st.sampled_from([None, Window.HOUR, Window.DAY]),
        feature=features,
        blocks=st.sampled_from([True, True, False]),
    )
    def cap_spend(self, by: str, amount: int, window: Window | None, feature: str, blocks: bool) -> None:
        cap_id, scope = f"cap_{next(self.number)}", CapScope.FEATURE if feature else CapScope.TOTAL
        now_ms, rolling_ms = self.model.now_ms, 0 if window else 60_000
        cap = SpendCap(cap_id=cap_id, unit="credits", amount=amount, rolling_ms=rolling_ms, created_at_ms=now_ms)
        cap = replace(cap, window=window, scope=scope, of=feature, blocks=blocks)
        if len(self.capped) == 4:
            self.both("remove_spend_cap", *self.capped.pop(0))
        self.both("add_spend_cap", by, cap)
        self.capped.append((by, cap))

    # Customers and time

    @rule(
        member=st.sampled_from(["ben", "cem"]),
        unit=st.sampled_from(UNITS),
        cap=st.sampled_from([None, 0, 20, 40, 60, 200]),
        suspended=st.none() | st.sampled_from([PAYER, "ben"]),
    )
    def change_a_customer(self, member: str, unit: str, cap: int | None, suspended: str | None) -> None:
        if suspended is None:
            self.both("set_cap", member, unit, cap)
        else:
            self.both("suspend", suspended)
            self.both("reserve", replace(NOTHING, reservation_id=f"R{next(self.number)}", customer_id=member))
            self.both("resume", suspended)

    @rule(ms=st.sampled_from([1, 1000, 1000, 2000, 5000, 900_000, DAY_MS]))
    def tick(self, ms: int) -> None:
        if ms == DAY_MS:
            # The store's idempotency records live by the server's own clock.
            self.sent.clear()
        self.both("tick", ms)

    @rule()
    def sweep(self) -> None:
        """The store's order of holds that are overdue together is its own."""
        seen = len(self.run(self.store.lines()))
        swept = self.run(self.store.sweep())
        expired = [
            line for line in self.run(self.store.lines())[seen:] if line.kind is Kind.HOLD_EXPIRY and line.hold
        ]
        ids = dict.fromkeys(line.hold.reservation_id for line in expired if line.hold)
        assert all(self.model.books.expire(each, now_ms=self.model.now_ms) for each in ids)
        assert self.run(self.model.sweep()) == 0
        assert swept == len(ids)
        self.looks = True


def test_the_store_is_the_model(store_url: str, clock: StoreClock) -> None:
    loop = asyncio.new_event_loop()
    lane = make_lane(parse_address(store_url), timeout_s=5.0)
    LedgerMachine.loop, LedgerMachine.lane, LedgerMachine.clock = loop, lane, clock
    loop.run_until_complete(lane.open())
    try:
        run_state_machine_as_test(
            LedgerMachine,
            settings=settings(
                max_examples=max(1, OPERATIONS // STEPS),
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        loop.run_until_complete(lane.close())
        loop.close()
