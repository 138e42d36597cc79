"""A price as plain data and back: what was quoted for one request, for whoever settles it when that quote is gone.

Prices that count over a period are none of these: what they come to depends on when one asks.
"""

from fractions import Fraction

import msgspec

from sidecar.domain.price import Number, Price
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_schedule import Schedule, SchedulePrice, Tier, price_of

_Ratio = str
"""``3/20`` or ``3``."""


class _PinnedTier(msgspec.Struct, frozen=True, array_like=True):
    up_to: int | None
    rate: _Ratio
    flat: _Ratio


class _PinnedSchedule(msgspec.Struct, frozen=True, array_like=True):
    meters: tuple[str, ...]
    tiers: tuple[_PinnedTier, ...]
    volume: bool
    package: int
    free: int


class PinnedPrice(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """See the module; made by `pinned`."""

    rates: dict[str, _Ratio]
    flat: int
    markup: _Ratio
    least: int
    schedules: tuple[_PinnedSchedule, ...]

    def price(self) -> Price:
        """The price that was pinned."""
        return price_of(
            {meter: Fraction(rate) for meter, rate in self.rates.items()},
            self.flat,
            schedules=[
                Schedule(
                    meters=each.meters,
                    tiers=tuple(Tier(tier.up_to, _number(tier.rate), _number(tier.flat)) for tier in each.tiers),
                    volume=each.volume,
                    package=each.package,
                    free=each.free,
                )
                for each in self.schedules
            ],
            markup=Fraction(self.markup),
            least=self.least,
        )


def pinned(price: Price) -> PinnedPrice:
    """`price` as plain data. It must not count over a period."""
    schedules = price.schedules if isinstance(price, SchedulePrice) else ()
    assert not any(isinstance(each, CountedSchedule) for each in schedules), "it counts over a period"
    return PinnedPrice(
        rates={meter: str(rate) for meter, rate in price.rates.items()},
        flat=price.flat,
        markup=str(price.markup),
        least=price.least if isinstance(price, SchedulePrice) else 0,
        schedules=tuple(
            _PinnedSchedule(
                each.meters,
                tuple(_PinnedTier(tier.up_to, str(tier.rate), str(tier.flat)) for tier in each.tiers),
                each.volume,
                each.package,
                each.free,
            )
            for each in schedules
        ),
    )


def _number(ratio: _Ratio) -> Number:
    value = Fraction(ratio)
    return int(value) if value.denominator == 1 else value
