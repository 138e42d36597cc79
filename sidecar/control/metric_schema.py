"""Billable metrics and metering rules on the wire, and what a preview tells."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import Instant, Prose, UnitName
from sidecar.control.hold_schema import Reported
from sidecar.control.schema import Asked, Pagination, Wire, instant, words
from sidecar.domain.amounts import CREDITS, MAX_AMOUNT
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering_rules import (
    TIERS_MAX,
    CostType,
    MeteringRule,
    Metric,
    Rounding,
    RuleTerms,
    RuleTier,
    TierMode,
    TierScope,
)
from sidecar.domain.price import Line, Number, exact_text, number_text, parse_number

MetricKey = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$(?!\n)")]
Cost = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
Count = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]


class CreateMetric(Asked, frozen=True, kw_only=True):
    key: MetricKey
    name: Annotated[Prose, Meta(description="For people; the key, unless given.")] = ""
    description: Prose = ""


class MetricView(Wire, frozen=True, kw_only=True):
    key: str
    name: str
    description: str
    created_at: datetime

    @classmethod
    def of(cls, metric: Metric) -> "MetricView":
        return cls(
            key=metric.key,
            name=metric.name,
            description=metric.description,
            created_at=instant(metric.created_at_ms),
        )


class MetricPage(Wire, frozen=True, kw_only=True):
    data: list[MetricView]
    pagination: Pagination


class TierView(Wire, frozen=True, kw_only=True):
    """One tier; a quantity equal to `up_to` belongs to it."""

    up_to: Annotated[Count, Meta(description="Null: without end; the last tier's.")] | None
    unit_cost: Cost
    flat_fee: Annotated[Cost, Meta(description="Once, when the tier is entered.")] = 0


class Tier(TierView, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One tier, of a rule that is asked for."""


class TermsView(Wire, frozen=True, kw_only=True):
    """What units cost, in base units of `unit`."""

    cost_type: Annotated[str, words(*CostType)]
    unit: UnitName = CREDITS.name
    amount: Annotated[Cost, Meta(description="Of a flat rule: for each event of more than nothing.")] | None = None
    unit_cost: Annotated[Cost, Meta(description="Of a rule per unit: for `per_units` units.")] | None = None
    per_units: Annotated[Count, Meta(description="Rates are for so many units: 3000 per 1000000 tokens.")] = 1
    mode: Annotated[str, words(*TierMode)] = TierMode.GRADUATED
    tiers: tuple[TierView, ...] = ()
    tier_scope: Annotated[str, words(*TierScope)] = TierScope.PERIOD
    rounding: Annotated[str, words(*Rounding)] = Rounding.CEIL

    def terms(self) -> RuleTerms:
        tiers = tuple(RuleTier(**msgspec.structs.asdict(tier)) for tier in self.tiers)
        fields = {name: getattr(self, name) for name in RuleTerms.__struct_fields__}
        return RuleTerms(**(fields | {"tiers": tiers}))


class Terms(TermsView, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What units are to cost."""

    cost_type: CostType
    mode: Annotated[TierMode, Meta(description="Of tiers.")] = TierMode.GRADUATED
    tiers: Annotated[tuple[Tier, ...], Meta(max_length=TIERS_MAX)] = ()
    tier_scope: Annotated[
        TierScope, Meta(description="Of tiers: they begin anew with each event, or go on over a month (UTC).")
    ] = TierScope.PERIOD
    rounding: Annotated[Rounding, Meta(description="Once, of the whole event.")] = Rounding.CEIL


class CreateRule(Terms, frozen=True, kw_only=True):
    billable_metric_key: MetricKey
    effective_at: Annotated[Instant, Meta(description="Now, unless given; not before.")] | None = None


class RuleOfMetric(TermsView, frozen=True, kw_only=True):
    """A rule, which is never changed."""

    rule_id: str
    billable_metric_key: str
    effective_at: datetime
    created_at: datetime
    supersedes: Annotated[str | None, Meta(description="The rule that was in force before it.")]
    active: Annotated[bool, Meta(description="Whether it is the one in force now.")]

    @classmethod
    def showing(cls, rule: MeteringRule, *, active: bool) -> "RuleOfMetric":
        fields = {name: getattr(rule, name) for name in RuleTerms.__struct_fields__}
        tiers = tuple(TierView(**msgspec.structs.asdict(tier)) for tier in rule.tiers)
        return cls(
            **(fields | {"tiers": tiers}),
            rule_id=rule.rule_id,
            billable_metric_key=rule.billable_metric_key,
            effective_at=instant(rule.effective_at_ms),
            created_at=instant(rule.created_at_ms),
            supersedes=rule.supersedes,
            active=active,
        )


class RulesOfMetrics(Wire, frozen=True, kw_only=True):
    data: list[RuleOfMetric]
    pagination: Pagination


class RulesWanted(Asked, frozen=True, kw_only=True):
    billable_metric_key: MetricKey | UnsetType = UNSET


class Preview(Asked, frozen=True, kw_only=True):
    """A rule as it would be made, or the metric whose rule in force is meant."""

    units: Reported
    rule: Terms | UnsetType = UNSET
    billable_metric_key: MetricKey | UnsetType = UNSET
    position: Annotated[Cost, Meta(description="Where a count over a month stands before.")] = 0


class LineView(Wire, frozen=True, kw_only=True):
    """One line of what it comes to, exactly: `amount` is `units` times `rate`. Decimals are text."""

    units: str
    rate: str
    amount: str
    note: str

    @classmethod
    def of(cls, line: Line) -> "LineView":
        return cls(
            units=number_text(line.read), rate=exact_text(line.rate), amount=exact_text(line.amount), note=line.note
        )


class PreviewView(Wire, frozen=True, kw_only=True):
    cost: Annotated[int, Meta(description="What it is charged, rounded.")]
    held_at_most: Annotated[int, Meta(description="What a reservation for it holds: any use up to it is covered.")]
    unit: str
    lines: list[LineView]
    notes: Annotated[list[str], Meta(description="What may surprise: where more costs less.")]


def counted(reported: int | str, field: str) -> Number:
    """A number of units as it was told; or InvalidInput."""
    number = parse_number(str(reported))
    if number is None:
        raise InvalidInput("A whole number from 0, or a decimal as text with at most 9 decimal places.", field)
    return number
