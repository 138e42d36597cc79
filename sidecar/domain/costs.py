"""What a caller of the API asks to hold or to charge: an amount of credit, or units of a metric at its price.

It is the same before and after: of a reservation first what it may cost, later what it has cost. Nothing here knows
where the price comes from, or where counters stand.
"""

from collections.abc import Mapping

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Advance, Counter, Stand
from sidecar.domain.price import Number, Price, usage_text
from sidecar.domain.price_counted import CountedCharge, by_name, counted_in

UNITS = "units"
"""The meter that the prices of metrics go by."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Of an amount, `price` is None and `feature` and `rule` are what the caller says; of units, metric and rule."""

    unit: str
    feature: str = ""
    rule: str = ""
    amount: int = 0
    price: Price | None = None
    units: Number = 0
    counts: Mapping[str, Counter] = {}
    """The counters that the price depends on, by their names."""

    @property
    def exactly(self) -> int:
        """What it is, as for a customer who has used nothing."""
        return self.amount if self.price is None else self.price.charge({UNITS: self.units})

    @property
    def at_most(self) -> int:
        """What any use up to it is: with volume tiers, less may be dearer."""
        return self.amount if self.price is None else self.price.charge_up_to({UNITS: self.units})

    @property
    def usage(self) -> str:
        """What the ledger says was used."""
        return usage_text({UNITS: self.units})

    @property
    def claims(self) -> "CostClaims | None":
        """How what is held depends on counters; None: it does not."""
        return CostClaims(self) if self.counts else None

    def placed(self, stands: Mapping[str, Stand]) -> "Cost":
        """The same where counters with these keys stand."""
        if self.price is None or not self.counts:
            return self
        return msgspec.structs.replace(self, price=self.price.at(by_name(self.counts, stands)))

    def counted(self, paid: int) -> CountedCharge | None:
        """How its charge depends on counters, after `paid` in steps; None: it does not."""
        if self.price is None or not self.counts:
            return None
        usage = {UNITS: self.units}
        return CountedCharge(price=self.price, usage=usage, most=MAX_AMOUNT, counters=self.counts, paid=paid)


class CostClaims:
    """What a hold for a cost claims of counters."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost
        self.counters: tuple[Counter, ...] = tuple(cost.counts.values())

    def at(self, stands: Mapping[str, Stand]) -> tuple[int, tuple[Advance, ...]]:
        """The amount where counters with these keys stand, and for each of `counters` what it may count."""
        cost = self._cost.placed(stands)
        assert cost.price is not None, "only a price counts"
        spans = {each.counting.name: each.claimed({UNITS: cost.units}) for each in counted_in(cost.price)}
        return cost.at_most, tuple(Advance(counter, *spans[name]) for name, counter in cost.counts.items())
