"""The part of the state machine that asks as people do: with an idempotency key, and sometimes again."""

import itertools
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sidecar.domain.blocks import Grant, Purchase, Slice
from sidecar.domain.counters import is_of_cap
from sidecar.domain.journal import Moved
from sidecar.domain.once import Once
from sidecar.domain.periods import SERIES, Carry, Closing
from sidecar.domain.transfers import Room
from tests.ledger.compared import UNITS, Compared

charges = st.sampled_from([10, 5, 1, 0, 20, 30, 40, 60, 90, 150])
recent = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8])
"""Counted back from the newest."""
spans_ms = st.sampled_from([1000, 2000, 3000, 5000])


class Writing(Compared):
    """Corrections, and every write a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.number = itertools.count(1)
        self.sent: list[tuple[Any, ...]] = []
        """Writes with an idempotency key, to be sent again."""
        self.bought: list[str] = []
        self.periods = 0

    @rule(unit=st.sampled_from(UNITS), amount=charges, owe=st.booleans())
    def take(self, unit: str, amount: int, owe: bool) -> None:
        self.write("take", unit, amount, owe)

    @rule(
        unit=st.sampled_from(UNITS),
        amount=st.none() | charges,
        owe=st.booleans(),
        room=st.sampled_from([Room(), Room(), Room(1), Room(9, 50)]),
    )
    def send(self, unit: str, amount: int | None, owe: bool, room: Room) -> None:
        """To somebody else."""
        if amount != 0:
            self.write("send", unit, amount, owe, room)

    @rule(
        pays=st.sampled_from(UNITS),
        amount=charges,
        wallet=st.sampled_from(["", "", "fun"]),
        gets=st.sampled_from(UNITS),
        which=st.none() | recent,
        span_ms=st.none() | spans_ms,
    )
    def buy(self, pays: str, amount: int, wallet: str, gets: str, which: int | None, span_ms: int | None) -> None:
        """A new purchase, or one of before, perhaps on other terms."""
        name = f"B{next(self.number)}"
        if which is None or not self.bought:
            self.bought.append(name)
        else:
            name = self.bought[-1 - which % len(self.bought)]
        purchase = Purchase(purchase_id=name, unit=pays, amount=amount, wallet=wallet, terms=f"{amount}{pays}")
        grant = Grant(
            block_id=f"G{next(self.number)}",
            unit=gets,
            amount=20,
            source="purchase",
            wallet="fun",
            duration_ms=span_ms,
            eligible_features=("chat",) if span_ms else (),
            purchase=purchase,
        )
        self.write("buy", grant)

    @rule(unit=st.sampled_from(UNITS), amount=charges, ahead_ms=st.none() | st.sampled_from([-1000, 0, 1000]))
    def receive(self, unit: str, amount: int, ahead_ms: int | None) -> None:
        """From somebody else, perhaps too late; and again, by another idempotency key."""
        if amount:
            name = f"T{next(self.number)}"
            ends_at_ms = None if ahead_ms is None else self.model.now_ms + ahead_ms
            grant = Grant(
                block_id=name,
                unit=unit,
                amount=amount,
                source="test",
                expires_at_ms=ends_at_ms,
                transfer=f"{name}:1",
            )
            self.write("grant", grant)
            self.write("grant", grant)

    @rule(which=recent, amount=st.none() | charges, span_ms=st.none() | spans_ms)
    def refund(self, which: int, amount: int | None, span_ms: int | None) -> None:
        """Of what a commit charged, again and again."""
        commits = [line for line in self.model.books.lines if line.hold and line.charged and line.usage]
        if commits:
            line = commits[-1 - which % len(commits)]
            assert line.hold is not None
            slices = tuple(
                Slice(move.block, move.amount) for move in reversed(line.moves) if move.what is Moved.SPENT
            )
            expires_at_ms = None if span_ms is None else self.model.now_ms + span_ms
            rest = Grant(
                block_id=f"G{next(self.number)}",
                unit=line.unit,
                amount=1,
                source="refund",
                expires_at_ms=expires_at_ms,
            )
            reference = f"{line.unit}-{line.seq}"
            caps = tuple(each.key for each in line.counted if is_of_cap(each.key))
            asked = (line.unit, reference, line.charged, slices, line.hold.customer_id, amount, rest, caps)
            self.write("refund", *asked)

    @rule(
        unit=st.sampled_from(UNITS),
        carry=st.none()
        | st.builds(
            Carry,
            limit=st.none() | charges,
            percent=st.sampled_from([100, 100, 50, 33, 0]),
            lasts_ms=st.none() | spans_ms,
        ),
        amount=st.none() | charges,
        which=recent,
    )
    def turn(self, unit: str, carry: Carry | None, amount: int | None, which: int) -> None:
        """From one period to the next, or to one that was before."""
        self.periods += which == 0
        at_ms, closing, grant = 1000 * max(self.periods - which, 0), None, None
        if carry is not None:
            closing = Closing(ends_at_ms=at_ms, carry=carry)
        if amount:
            grant = Grant(
                block_id=f"G{next(self.number)}",
                unit=unit,
                amount=amount,
                source=SERIES,
                series=SERIES,
                priority=which,
                period_starts_at_ms=at_ms,
            )
        self.write("turn", unit, closing, grant)

    @rule(unit=st.sampled_from(UNITS), most=st.sampled_from([0, 20, 100, 1000]))
    def allow_overage(self, unit: str, most: int) -> None:
        self.both("allow_overage", unit, most)

    def write(self, operation: str, *asked: Any) -> Any:
        once = Once(f"key {next(self.number)}", "f0")
        self.sent.append((operation, *asked, once))
        return self.both(operation, *asked, once)

    @rule(which=recent)
    def write_again(self, which: int) -> None:
        if self.sent:
            operation, *asked = self.sent[-1 - which % len(self.sent)]
            self.both(operation, *asked)
