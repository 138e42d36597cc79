"""Prices that are more than a rate: free allowances, started packages, tiers, and the least that a request costs.

A schedule here begins anew with each request; `price_counted` has those that go on. It counts one meter, or one and
the classes of it that have no rate of their own, so that an allowance is not given twice. In this order: what is free
is taken off, started packages are counted instead of single ones, tiers are applied.

    graduated   each slice at the rate of its own tier, and the flat fee of each tier that is entered
    volume      everything at the rate of the tier that the whole falls into, and that tier's flat fee

A bound is inclusive. With volume tiers more may cost less: `SchedulePrice.charge_up_to` is what a hold must cover.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Self

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Stand
from sidecar.domain.price import FLAT, Line, Number, Price, Usage, markup_lines

MIN_CHARGE = "min_charge"


class Tier(msgspec.Struct, frozen=True):
    """Up to and with `up_to` (None: without end) at `rate` each, and `flat` once, in base units."""

    up_to: int | None
    rate: Number
    flat: Number = 0


class Slice(msgspec.Struct, frozen=True):
    """So many, in this tier; the tier begins after `above`."""

    count: Number
    above: int
    tier: Tier

    @property
    def amount(self) -> Number:
        return self.count * self.tier.rate + self.tier.flat

    @property
    def bounds(self) -> str:
        """The tier for people; empty when it is the only one."""
        if self.tier.up_to is not None:
            return f"up to {self.tier.up_to}"
        return f"above {self.above}" if self.above else ""


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """How the sum of `meters` is priced; `package` 0 counts single ones. The last of `tiers` is open."""

    meters: tuple[str, ...]
    tiers: tuple[Tier, ...]
    volume: bool = False
    package: int = 0
    free: int = 0

    def times(self, factor: Fraction) -> Self:
        """The same with all amounts multiplied, whole numbers where they come out as such."""
        tiers = (Tier(tier.up_to, _plain(tier.rate * factor), _plain(tier.flat * factor)) for tier in self.tiers)
        return msgspec.structs.replace(self, tiers=tuple(tiers))

    def at(self, stands: Mapping[str, Stand]) -> "Schedule":  # noqa: ARG002 - a face
        """The same where the counters with these names stand."""
        return self

    def due(self, usage: Usage) -> Number:
        """What `usage` costs, exactly."""
        return sum(part.amount for part in self._slices(self._read(usage)))

    def due_up_to(self, usage: Usage) -> Number:
        """The most that any usage up to `usage` costs."""
        return sum(part.amount for part in self._dearest(self._read(usage)))

    def lines(self, usage: Usage) -> list[Line]:
        """What `due` adds up."""
        return self._lines(self._read(usage), self._slices)

    def lines_up_to(self, usage: Usage) -> list[Line]:
        """What `due_up_to` adds up."""
        return self._lines(self._read(usage), self._dearest)

    def _lines(self, read: Number, slices: Callable[[Number], Iterable[Slice]]) -> list[Line]:
        meter = self.meters[0]
        lines = [Line(meter, self._free_of(read), Fraction(0), Fraction(0), "free")] if self.free else []
        for part in slices(read):
            rate, flat, note = Fraction(part.tier.rate), Fraction(part.tier.flat), part.bounds
            if self.package:
                note = f"started packages of {self.package}"
            if rate or not flat:
                lines.append(Line(meter, part.count, rate, rate * part.count, note))
            if flat:
                lines.append(Line(meter, 1, flat, flat, f"flat, {note}" if note else FLAT))
        return lines

    @property
    def falls_at(self) -> tuple[int, ...]:
        """The readings after which one more makes everything cheaper."""
        ends = [(tier.up_to, tier) for tier in self.tiers if tier.up_to is not None and self.volume]
        return tuple(
            end + self.free
            for (end, tier), above in zip(ends, self.tiers[1:], strict=False)
            if (end + 1) * above.rate + above.flat < end * tier.rate + tier.flat
        )

    def _read(self, usage: Usage) -> Number:
        return sum(usage.get(meter, 0) for meter in self.meters)

    def _free_of(self, read: Number) -> Number:
        return min(read, self.free)

    def _billed(self, read: Number) -> Number:
        read -= self.free
        if read <= 0:
            return 0
        return -(-read // self.package) if self.package else read

    def _slices(self, read: Number) -> Iterable[Slice]:
        """The parts of what is billed by their tiers, none of them for nothing."""
        entered = self._entered(self._billed(read))
        if self.volume:
            return entered[-1:]
        return [Slice(part.count - part.above, part.above, part.tier) for part in entered]

    def _dearest(self, read: Number) -> Iterable[Slice]:
        """The slices of what costs most, up to what was read."""
        if not self.volume:
            return self._slices(read)
        # Within a tier more costs more, so that the dearest is where a tier ends, or where the usage does.
        return sorted(self._entered(self._billed(read)), key=lambda part: part.amount)[-1:]

    def _entered(self, billed: Number) -> list[Slice]:
        """The tiers that `billed` reaches into, each with all that lies in and below it."""
        entered: list[Slice] = []
        above = 0
        for tier in self.tiers:
            if billed <= above:
                break
            entered.append(Slice(billed if tier.up_to is None else min(billed, tier.up_to), above, tier))
            if tier.up_to is None:
                break
            above = tier.up_to
        return entered


class SchedulePrice(Price, frozen=True, kw_only=True):
    """A price with schedules beside its plain rates, and with the least that a charged request costs."""

    schedules: tuple[Schedule, ...]
    scaled: tuple[Schedule, ...]
    """The same with the markup in, times the denominator."""
    least: int

    @property
    def meters(self) -> tuple[str, ...]:
        return (*self.rates, *(meter for schedule in self.schedules for meter in schedule.meters))

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(
            f"{schedule.meters[0]}: more than {end} cost less than {end}, since all are at the rate of the last tier"
            for schedule in self.schedules
            for end in schedule.falls_at
        )

    def at(self, stands: Mapping[str, Stand]) -> Self:
        schedules, scaled = (tuple(each.at(stands) for each in some) for some in (self.schedules, self.scaled))
        return msgspec.structs.replace(self, schedules=schedules, scaled=scaled)

    def charge(self, usage: Usage, most: int = MAX_AMOUNT) -> int:
        return self._amount(self._plain(usage) + sum(schedule.due(usage) for schedule in self.scaled), most)

    def charge_up_to(self, usage: Usage, most: int = MAX_AMOUNT) -> int:
        return self._amount(self._plain(usage) + sum(schedule.due_up_to(usage) for schedule in self.scaled), most)

    def lines(self, usage: Usage) -> list[Line]:
        """As of a plain price; the last one is what `least` adds."""
        return self._lines(usage, [line for schedule in self.schedules for line in schedule.lines(usage)])

    def lines_up_to(self, usage: Usage) -> list[Line]:
        return self._lines(usage, [line for schedule in self.schedules for line in schedule.lines_up_to(usage)])

    def _lines(self, usage: Usage, of_schedules: list[Line]) -> list[Line]:
        plain = Price.of(self.rates, self.flat).lines(usage) if self.rates or self.flat else []
        lines = plain + of_schedules
        lines += markup_lines(lines, self.markup)
        missing = self.least - sum((line.amount for line in lines), Fraction(0))
        return [*lines, Line(MIN_CHARGE, 1, missing, missing, "added up to it")] if missing > 0 else lines

    def _plain(self, usage: Usage) -> Number:
        return self.flat_numerator + sum(numerator * usage.get(meter, 0) for meter, numerator in self.numerators)

    def _amount(self, total: Number, most: int) -> int:
        return min(max(-(-total // self.denominator), self.least), most)


def price_of(
    rates: Mapping[str, Fraction],
    flat: int = 0,
    *,
    schedules: Sequence[Schedule] = (),
    markup: Fraction = Fraction(0),
    least: int = 0,
) -> Price:
    """The plainest price that says all this. `least` is not marked up."""
    plain = Price.of(rates, flat, markup)
    if not (schedules or least):
        return plain
    factor = 1 + markup
    amounts = [
        amount * factor for schedule in schedules for tier in schedule.tiers for amount in (tier.rate, tier.flat)
    ]
    # Over a common multiple of all denominators every amount is a whole number, and one division ends a charge.
    denominator = math.lcm(plain.denominator, *(Fraction(amount).denominator for amount in amounts))
    more = denominator // plain.denominator
    return SchedulePrice(
        rates=plain.rates,
        flat=flat,
        markup=markup,
        flat_numerator=plain.flat_numerator * more,
        numerators=tuple((meter, numerator * more) for meter, numerator in plain.numerators),
        denominator=denominator,
        schedules=tuple(schedules),
        scaled=tuple(schedule.times(factor * denominator) for schedule in schedules),
        least=least,
    )


def _plain(number: Number) -> Number:
    return int(number) if number.denominator == 1 else number
