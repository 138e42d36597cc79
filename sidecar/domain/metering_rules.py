"""Billable metrics and what they cost, for callers who report usage themselves: records, checked, and their prices.

A rule becomes a price of the same engine that the rule files have; amounts are whole base units. Rules are never
changed: a new one is in force from its day on, and whatever was reserved by an older one is charged by that.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from fractions import Fraction

import msgspec

from sidecar.domain.amounts import CREDITS, MAX_AMOUNT
from sidecar.domain.costs import UNITS, Cost
from sidecar.domain.counters import Counter, Counting, Over
from sidecar.domain.errors import InvalidInput
from sidecar.domain.price import Number, Price
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_schedule import Schedule, SchedulePrice, Tier, price_of

TIERS_MAX = 100
RULE_ID = "mrl"
_RULE_ID = re.compile(rf"{RULE_ID}_[0-7][0-9a-hjkmnp-tv-z]{{25}}\Z", re.ASCII)
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z", re.ASCII)


class CostType(StrEnum):
    FLAT = "flat"
    PER_UNIT = "per_unit"
    TIERED = "tiered"


class TierMode(StrEnum):
    GRADUATED = "graduated"
    """Each slice at the rate of its own tier."""
    VOLUME = "volume"
    """Everything at the rate of the tier that it falls into."""


class TierScope(StrEnum):
    EVENT = "event"
    """Tiers begin anew with each event."""
    PERIOD = "period"
    """They go on over a calendar month (UTC), for each customer."""


class Rounding(StrEnum):
    """Once for each event, after everything was added."""

    CEIL = "ceil"
    HALF_EVEN = "half_even"
    FLOOR = "floor"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str
    description: str = ""
    created_at_ms: int


class RuleTier(msgspec.Struct, frozen=True, kw_only=True):
    """Up to and with `up_to` (None: without end); `flat_fee` is due once when it is entered."""

    up_to: int | None
    unit_cost: int
    flat_fee: int = 0


class RuleTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What units cost: `amount` is of a flat rule, `unit_cost` of one per unit; rates are for `per_units` units."""

    cost_type: CostType
    unit: str = CREDITS.name
    amount: int | None = None
    unit_cost: int | None = None
    per_units: int = 1
    mode: TierMode = TierMode.GRADUATED
    tiers: tuple[RuleTier, ...] = ()
    tier_scope: TierScope = TierScope.PERIOD
    rounding: Rounding = Rounding.CEIL


class MeteringRule(RuleTerms, frozen=True, kw_only=True):
    """Terms that a metric has from `effective_at_ms` on."""

    rule_id: str
    billable_metric_key: str
    effective_at_ms: int
    created_at_ms: int
    supersedes: str | None = None


class RoundedPrice(SchedulePrice, frozen=True, kw_only=True):
    """A price that is rounded as its rule says."""

    rounding: Rounding

    def _amount(self, total: Number, most: int) -> int:
        exact = Fraction(total) / self.denominator
        rounded = exact.__floor__() if self.rounding is Rounding.FLOOR else round(exact)
        return min(rounded, most)


def is_rule_id(text: str) -> bool:
    """Whether a reservation with this rule was priced by one of these, and not by a rule file's."""
    return _RULE_ID.match(text) is not None


def checked_metric_key(key: str, field: str = "key") -> str:
    """The key of a metric, or InvalidInput."""
    if _KEY.match(key) is None:
        raise InvalidInput(
            "A metric's key is 1 to 64 small letters, digits and `_`, and begins with a letter.", field
        )
    return key


def checked_terms(terms: RuleTerms) -> RuleTerms:
    """`terms`, or InvalidInput for what is missing, too much, or in no order."""
    wanted = {
        CostType.FLAT: ("amount",),
        CostType.PER_UNIT: ("unit_cost",),
        CostType.TIERED: ("tiers",),
    }[terms.cost_type]
    for name in ("amount", "unit_cost", "tiers"):
        given = getattr(terms, name) not in (None, ())
        if given != (name in wanted):
            raise InvalidInput(
                f"A rule that is {terms.cost_type} has `{wanted[0]}`, and nothing of the others.", name
            )
    above = 0
    for index, tier in enumerate(terms.tiers):
        is_last = index == len(terms.tiers) - 1
        if (tier.up_to is None) != is_last:
            raise InvalidInput("The last tier, and no other, has `up_to: null`.", f"tiers[{index}].up_to")
        if tier.up_to is not None and tier.up_to <= above:
            raise InvalidInput("Each tier reaches further than the one before it.", f"tiers[{index}].up_to")
        above = tier.up_to or above
    return terms


def counting_of(metric_key: str) -> Counting:
    """What is counted of a metric over a period; a new rule goes on with it."""
    return Counting(f"metric:{metric_key}", Over.MONTH)


def price_of_terms(terms: RuleTerms, metric_key: str) -> Price:
    """What units cost, by the terms of a rule of this metric."""
    per = terms.per_units
    if terms.cost_type is CostType.PER_UNIT and terms.rounding is Rounding.CEIL:
        return Price.of({UNITS: Fraction(terms.unit_cost or 0, per)})
    if terms.cost_type is CostType.FLAT:
        # A tier is entered by the first unit: nothing costs nothing.
        tiers: tuple[Tier, ...] = (Tier(None, 0, terms.amount or 0),)
    elif terms.cost_type is CostType.PER_UNIT:
        tiers = (Tier(None, Fraction(terms.unit_cost or 0, per)),)
    else:
        tiers = tuple(Tier(each.up_to, Fraction(each.unit_cost, per), each.flat_fee) for each in terms.tiers)
    volume = terms.mode is TierMode.VOLUME
    if counts(terms):
        schedule: Schedule = CountedSchedule(
            meters=(UNITS,), tiers=tiers, volume=volume, counting=counting_of(metric_key)
        )
    else:
        schedule = Schedule(meters=(UNITS,), tiers=tiers, volume=volume)
    price = price_of({}, schedules=[schedule])
    assert isinstance(price, SchedulePrice), "it has a schedule"
    if terms.rounding is Rounding.CEIL:
        return price
    fields = {name: getattr(price, name) for name in SchedulePrice.__struct_fields__}
    return RoundedPrice(**fields, rounding=terms.rounding)


def counts(terms: RuleTerms) -> bool:
    """Whether what it costs depends on what was used before."""
    return terms.cost_type is CostType.TIERED and terms.tier_scope is TierScope.PERIOD


def cost_by(rule: MeteringRule, price: Price, units: Number, counters: Mapping[str, Counter]) -> Cost:
    """What `units` cost by a rule, whose price is `price`; InvalidInput for more than can be counted."""
    if units > MAX_AMOUNT:
        raise InvalidInput(f"units must be at most {MAX_AMOUNT}.", "units")
    return Cost(
        unit=rule.unit,
        feature=rule.billable_metric_key,
        rule=rule.rule_id,
        price=price,
        units=units,
        counts=counters,
    )
