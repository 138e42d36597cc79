from fractions import Fraction

import pytest

from sidecar.control.metric_schema import RuleOfMetric, Terms, Tier, counted
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering_rules import CostType, MeteringRule, RuleTier


def test_terms_are_the_same_on_both_sides() -> None:
    wire = Terms(cost_type=CostType.TIERED, tiers=(Tier(up_to=None, unit_cost=3, flat_fee=1),), per_units=7)
    terms = wire.terms()
    assert terms.tiers == (RuleTier(up_to=None, unit_cost=3, flat_fee=1),)
    rule = MeteringRule(
        cost_type=terms.cost_type, tiers=terms.tiers, per_units=7, rule_id="mrl_1", billable_metric_key="look",
        effective_at_ms=1, created_at_ms=1,
    )  # fmt: skip
    assert RuleOfMetric.showing(rule, active=True).terms() == terms


def test_units_are_whole_or_decimals_as_text() -> None:
    assert (counted(7, "units"), counted("2.5", "units")) == (7, Fraction(5, 2))
    for wrong in ("-1", "1e3", "x", "0.1234567890"):
        with pytest.raises(InvalidInput):
            counted(wrong, "units")
