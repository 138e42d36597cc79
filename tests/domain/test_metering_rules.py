from fractions import Fraction

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.costs import UNITS
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering_rules import (
    CostType,
    Rounding,
    RuleTerms,
    RuleTier,
    checked_metric_key,
    checked_terms,
    counting_of,
    counts,
    is_rule_id,
    price_of_terms,
)

TIERED = RuleTerms(
    cost_type=CostType.TIERED, tiers=(RuleTier(up_to=2, unit_cost=5, flat_fee=1), RuleTier(up_to=None, unit_cost=1))
)


def test_three_components_are_added_before_they_are_rounded() -> None:
    terms = RuleTerms(cost_type=CostType.PER_UNIT, unit_cost=3_000, per_units=1_000_000)
    for rounding, cost in ((Rounding.CEIL, 4), (Rounding.HALF_EVEN, 4), (Rounding.FLOOR, 3)):
        rounded = RuleTerms(cost_type=terms.cost_type, unit_cost=3_000, per_units=1_000_000, rounding=rounding)
        assert price_of_terms(rounded, "m").charge({UNITS: 1_234}) == cost
    assert price_of_terms(terms, "m").charge({UNITS: Fraction(1, 2)}) == 1


def test_a_rounded_price_has_a_bound_too() -> None:
    terms = RuleTerms(cost_type=CostType.PER_UNIT, unit_cost=MAX_AMOUNT, rounding=Rounding.FLOOR)
    assert price_of_terms(terms, "m").charge({UNITS: 9}) == MAX_AMOUNT


def test_tiers_go_on_over_a_month_unless_said() -> None:
    assert counts(TIERED)
    assert not counts(RuleTerms(cost_type=CostType.FLAT, amount=1))
    assert counting_of("look").at(0).key == "metric:look@1970-01"
    # The fee of a tier is due when it is entered.
    assert price_of_terms(TIERED, "m").charge({UNITS: 3}) == 12


@pytest.mark.parametrize("key", ["", "A", "1a", "a b", "a-b", "a" * 65, "a\n"])
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(InvalidInput):
        checked_metric_key(key)


def test_what_a_rule_must_have() -> None:
    assert checked_terms(TIERED) is TIERED
    with pytest.raises(InvalidInput, match="amount"):
        checked_terms(RuleTerms(cost_type=CostType.FLAT))


def test_the_ids_of_rules_are_told_from_the_names_of_files() -> None:
    assert is_rule_id("mrl_01arz3ndektsv4rrffq69g5fav")
    assert not any(map(is_rule_id, ("chat", "mrl_x", "", "mrl_01arz3ndektsv4rrffq69g5fav\n")))
