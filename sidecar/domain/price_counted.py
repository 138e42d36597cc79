"""Schedules that go on from one request to the next: tiers and allowances over a period, for each customer.

What `u` units cost is what the counter's way from its position to `u` beyond it costs. With graduated tiers that is
the difference of two sums, so that the order of requests does not matter. With volume tiers it is `u` at the rate of
the tier that is reached. A tier's fee is due when its first unit is counted. Counters count whole units: a reading
with decimals is rounded up.

The position may move between a price and its settlement. So each amount comes with the range of positions at which it
is right: a cost is the same while it stays in one tier.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import AT_ZERO, Advance, Counter, Counting, Stand
from sidecar.domain.price import Number, Price, Usage
from sidecar.domain.price_list import AnyPrice, leaves
from sidecar.domain.price_schedule import Schedule, SchedulePrice, Slice, Tier


class Span(NamedTuple):
    """So many units, and the lowest and the highest position at which what they cost is the same."""

    units: int
    low: int
    high: int


class CountedSchedule(Schedule, frozen=True, kw_only=True):
    """A schedule that begins where its counter stands."""

    counting: Counting
    stand: Stand = AT_ZERO

    def at(self, stands: Mapping[str, Stand]) -> "CountedSchedule":
        return replace(self, stand=stands.get(self.counting.name, AT_ZERO))

    def settled(self, usage: Usage) -> Span:
        """What a settlement of `usage` counts, and at which positions `due` is the same."""
        units, start = self._read(usage), self.stand.used
        first, last, package = self._billed(start), self._billed(start + units), self.package or 1
        within = self._within_a_tier(units, first, last)
        if within is not None:
            return within
        # Else as long as the first and the last package that are billed remain the same.
        low = max(self._begins(first), self._begins(last) - units, 0)
        return Span(units, low, min(self.free + first * package, self.free + last * package - units))

    def claimed(self, usage: Usage) -> Span:
        """What a hold for `usage` may count, and where `due_up_to` is enough.

        The low end is for the position; the high end is for the position with all that other holds may count.
        """
        units, stand = self._read(usage), self.stand
        first, last = self._billed(stand.used), self._billed(stand.used + stand.held + units)
        within = self._within_a_tier(units, first, last)
        if within is not None:
            return within
        return Span(units, self._begins(first), self.free + last * (self.package or 1) - units)

    def _within_a_tier(self, units: int, first: int, last: int) -> Span | None:
        """The range in which each unit costs the same; None when the way from `first` to `last` is not all in one."""
        if not units:
            return Span(0, 0, MAX_AMOUNT)
        entered = self._between(first, last)
        if len(entered) != 1 or self.package or self.stand.used < self.free or entered[0].tier.flat:
            return None
        bound, above = entered[0].tier.up_to, entered[0].above
        fee = next(tier.flat for tier in self.tiers if tier.up_to == bound)
        low = self.free + above + (1 if fee else 0)
        return Span(units, low, MAX_AMOUNT if bound is None else self.free + bound - units)

    def _begins(self, billed: int) -> int:
        """The lowest position at which so many packages, or units, are billed."""
        return self.free + (billed - 1) * (self.package or 1) + 1 if billed else 0

    def _read(self, usage: Usage) -> int:
        return math.ceil(super()._read(usage))

    def _billed(self, read: Number) -> int:
        return int(super()._billed(read))

    def _free_of(self, read: Number) -> Number:
        return min(read, max(self.free - self.stand.used, 0))

    def _slices(self, read: Number) -> Iterable[Slice]:
        start = self.stand.used
        return self._way(self._billed(start), self._billed(start + read))

    def _dearest(self, read: Number) -> Iterable[Slice]:
        """The slices of the dearest way that begins and ends between the position and what all holds may reach."""
        stand = self.stand
        lowest, top = self._billed(stand.used), self._billed(stand.used + stand.held + read)
        length = min(top - lowest, -(-read // self.package) if self.package else read)
        entered = self._between(lowest, top)
        if not length:
            return []
        if self.volume:
            reached = [
                replace(part, count=min(length, max(lowest, part.above) + part.count - lowest)) for part in entered
            ]
            return sorted(reached, key=lambda part: part.amount)[-1:]
        # What a way costs changes its slope only where one of its ends enters a tier.
        bounds = [tier.up_to for tier in self.tiers if tier.up_to is not None]
        starts = {lowest, top - length}
        starts.update(bound + step for bound in bounds for step in (0, 1, -length, 1 - length))
        ways = [self._way(start, start + length) for start in sorted(starts) if lowest <= start <= top - length]
        return max(ways, key=lambda way: sum(part.amount for part in way))

    def _way(self, start: Number, end: Number) -> list[Slice]:
        """What is billed from `start` to `end`."""
        entered = self._between(start, end)
        return [replace(entered[-1], count=end - start)] if self.volume and entered else entered

    def _between(self, start: Number, end: Number) -> list[Slice]:
        """The tiers between, each with what lies in it, and with its fee if it is entered here."""
        slices: list[Slice] = []
        above = 0
        for tier in self.tiers:
            if end <= above:
                break
            top = end if tier.up_to is None else min(end, tier.up_to)
            if top > start:
                entered = tier if start <= above else Tier(tier.up_to, tier.rate)
                slices.append(Slice(top - max(start, above), above, entered))
            if tier.up_to is None:
                break
            above = tier.up_to
        return slices


class CountedCharge(msgspec.Struct, frozen=True, kw_only=True):
    """What `usage` costs, wherever the counters stand by then; `counters` are those of the quote, by name.

    An amount that is `fixed` does not depend on them; then `usage` is only counted.
    """

    price: Price
    usage: Usage
    most: int
    counters: Mapping[str, Counter]
    fixed: int | None = None
    paid: int = 0
    """What steps have charged of it."""

    def at(self, stands: Mapping[str, Stand]) -> tuple[int, tuple[Advance, ...]]:
        """The amount where counters with these keys stand, and for each counter of the price what it counts."""
        price = self.price.at(by_name(self.counters, stands))
        spans = {schedule.counting.name: schedule.settled(self.usage) for schedule in counted_in(price)}
        if self.fixed is None:
            advances = (Advance(self.counters[name], *span) for name, span in spans.items())
            return max(price.charge(self.usage, self.most) - self.paid, 0), tuple(advances)
        return self.fixed, tuple(Advance(self.counters[name], span.units) for name, span in spans.items())


class CountedBill(msgspec.Struct, frozen=True, kw_only=True):
    """What a bill is to know when its price counts over periods: the counters by name, and what the hold is for."""

    counters: Mapping[str, Counter] = {}
    estimated: Usage | None = None
    """None: the hold is a fixed amount."""

    def counted(self, price: Price, most: int, usage: Usage, held: Usage | None, amount: int) -> CountedCharge | None:
        """How a charge for `usage` depends on the counters; None for a price without.

        `held`: the amount does not, since it is that of the hold, for which this is counted.
        """
        if not self.counters:
            return None
        charge = CountedCharge(price=price, usage=usage, most=most, counters=self.counters)
        return charge if held is None else replace(charge, usage=held, fixed=amount)


def by_name(counters: Mapping[str, Counter], stands: Mapping[str, Stand]) -> dict[str, Stand]:
    """Where counters stand, by their names instead of their keys; those that are not known stand at 0."""
    return {name: stands.get(counter.key, AT_ZERO) for name, counter in counters.items()}


def counted_in(price: Price) -> tuple[CountedSchedule, ...]:
    """The schedules of one price that count over a period."""
    if not isinstance(price, SchedulePrice):
        return ()
    return tuple(schedule for schedule in price.schedules if isinstance(schedule, CountedSchedule))


def countings_in(price: AnyPrice) -> tuple[Counting, ...]:
    """What any price that could come of it counts over periods."""
    every = (schedule.counting for leaf in leaves(price) for schedule in counted_in(leaf))
    return tuple(dict.fromkeys(every))
