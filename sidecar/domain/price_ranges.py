"""Prices that are chosen by usage itself, when it is known: a long prompt is dearer, an answer that came late free.

It is a price like any other, so nobody who charges by it needs to know. A hold is for the dearest of those that usage
up to its terms can reach; where the terms say nothing of what decides, for the dearest of all.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.price import Line, Price, Usage


class Range(msgspec.Struct, frozen=True):
    """The price where no more than `up_to` is read; None: however much."""

    up_to: int | None
    price: Price


class RangedPrice(Price, frozen=True, kw_only=True):
    """Prices by the sum of the meters in `by`: the first of `ranges` that holds it. They rise, and the last is open.

    The fields of a plain price say nothing here.
    """

    by: tuple[str, ...]
    ranges: tuple[Range, ...]

    @property
    def meters(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(meter for each in self.ranges for meter in each.price.meters))

    @property
    def notes(self) -> tuple[str, ...]:
        bounds = ", ".join(f"up to {each.up_to}" for each in self.ranges[:-1])
        note = f"the price depends on how much {' + '.join(self.by)} there is: {bounds}, or more"
        return (note, *dict.fromkeys(note for each in self.ranges for note in each.price.notes))

    def charge(self, usage: Usage, most: int = MAX_AMOUNT) -> int:
        return self._price_of(usage).charge(usage, most)

    def charge_up_to(self, usage: Usage, most: int = MAX_AMOUNT) -> int:
        return max(price.charge_up_to(usage, most) for price in self._reached(usage))

    def lines(self, usage: Usage) -> list[Line]:
        return self._price_of(usage).lines(usage)

    def lines_up_to(self, usage: Usage) -> list[Line]:
        return max(self._reached(usage), key=lambda price: price.charge_up_to(usage)).lines_up_to(usage)

    def _price_of(self, usage: Usage) -> Price:
        return self._reached(usage, otherwise=1)[-1]

    def _reached(self, usage: Usage, otherwise: int | None = None) -> Sequence[Price]:
        """The prices of what is read and of all that is less; the first `otherwise` of all when nothing is."""
        read = [usage[meter] for meter in self.by if meter in usage]
        if not read:
            return [each.price for each in self.ranges[:otherwise]]
        below = [each for each in self.ranges if each.up_to is not None and each.up_to < sum(read)]
        return [each.price for each in self.ranges[: len(below) + 1]]


def price_by_usage(by: Sequence[str], prices: Mapping[int | None, Price]) -> RangedPrice:
    """Prices by their bounds, which rise; None, for all above, comes last."""
    return RangedPrice(
        rates={},
        flat=0,
        markup=Fraction(0),
        flat_numerator=0,
        numerators=(),
        denominator=1,
        by=tuple(by),
        ranges=tuple(Range(up_to, price) for up_to, price in prices.items()),
    )
