"""Entitlement checks: the most units that room is left for, and what a check answers."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.costs import UNITS, Cost
from sidecar.domain.counters import Stand
from sidecar.domain.entitlements import Asked, Standing, judge, most_units
from sidecar.domain.metering_rules import (
    CostType,
    Rounding,
    RuleTerms,
    RuleTier,
    TierMode,
    TierScope,
    counting_of,
    price_of_terms,
)
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price import Price
from sidecar.domain.spend_caps import Capped, CapScope, Window

TIERS = (
    RuleTier(up_to=10_000, unit_cost=10),
    RuleTier(up_to=100_000, unit_cost=5),
    RuleTier(up_to=None, unit_cost=2),
)
FEW = 60
"""All of them are tried."""


def per_unit(unit_cost: int, **terms: object) -> Price:
    return price_of_terms(RuleTerms(cost_type=CostType.PER_UNIT, unit_cost=unit_cost, **terms), "m")  # type: ignore[arg-type]  # whatever a test says


def tiered(mode: TierMode, tiers: tuple[RuleTier, ...] = TIERS, **terms: object) -> Price:
    return price_of_terms(
        RuleTerms(cost_type=CostType.TIERED, mode=mode, tiers=tiers, tier_scope=TierScope.EVENT, **terms),  # type: ignore[arg-type]  # whatever a test says
        "m",
    )


@pytest.mark.parametrize(
    ("price", "room", "most"),
    [
        (per_unit(1_000), 140_000, 140),
        (per_unit(1_000), 999, 0),
        (per_unit(3_000, per_units=1_000_000), 2, 666),
        (per_unit(0), 0, None),
        (price_of_terms(RuleTerms(cost_type=CostType.FLAT, amount=7), "m"), 7, None),
        (price_of_terms(RuleTerms(cost_type=CostType.FLAT, amount=7), "m"), 6, 0),
        (tiered(TierMode.GRADUATED), 100_004, 10_000),
        (tiered(TierMode.GRADUATED), 650_000, 150_000),
        # 50,005 would be enough for 10,001 units; 100,005 is not for 10,000 and one more at 10 each.
        (tiered(TierMode.VOLUME), 60_000, 6_000),
        (tiered(TierMode.VOLUME), 500_000, 250_000),
        (per_unit(1), MAX_AMOUNT, None),
        (per_unit(1), -1, 0),
        (Price.of({UNITS: Fraction(5)}), 14, 2),
    ],
)
def test_the_most_units(price: Price, room: int, most: int | None) -> None:
    assert most_units(price, room) == most


amounts = st.integers(0, 12)
tiers_of = st.builds(
    lambda bounds, costs: tuple(
        RuleTier(up_to=bound, unit_cost=cost, flat_fee=fee)
        for bound, (cost, fee) in zip([*sorted(bounds), None], costs, strict=False)
    ),
    st.sets(st.integers(1, 30), max_size=3),
    st.lists(st.tuples(amounts, amounts), min_size=4, max_size=4),
)


@given(
    tiers_of, st.sampled_from(TierMode), st.sampled_from(Rounding), st.integers(1, 9), st.integers(0, 40), st.data()
)
@settings(max_examples=60, deadline=None)
def test_one_more_would_be_too_much(
    tiers: tuple[RuleTier, ...], mode: TierMode, rounding: Rounding, per: int, used: int, data: st.DataObject
) -> None:
    """Of any price, at any position: so many can be paid, and any fewer; one more cannot."""
    terms = RuleTerms(cost_type=CostType.TIERED, mode=mode, tiers=tiers, rounding=rounding, per_units=per)
    price = price_of_terms(terms, "m").at({counting_of("m").name: Stand(used)})
    costs = [price.charge({UNITS: units}) for units in range(FEW)]
    room = data.draw(st.integers(0, max(costs)))
    first = next((units for units, cost in enumerate(costs) if cost > room), None)
    most = most_units(price, room)
    if first is not None:
        assert most == first - 1
    else:
        assert most is None or most >= FEW - 1


def asked(units: int = 1) -> Asked:
    cost = Cost(unit="credits", price=Price.of({UNITS: Fraction(1_000)}), units=units)
    return Asked(feature="chat", units=units, unit="credits", cost=cost)


def cap(amount: int, spent: int, reset_at_ms: int = 1) -> Capped:
    return Capped(
        cap_id=f"cap_{amount}",
        scope=CapScope.TOTAL,
        window=Window.DAY,
        amount=amount,
        spent=spent,
        held=0,
        reset_at_ms=reset_at_ms,
        wait_ms=0,
    )


def test_of_several_caps_the_one_that_leaves_least_is_told() -> None:
    caps = (cap(9_000, 0), cap(10_000, 9_000, 5), cap(2_000, 1_000, 9))
    found = judge(asked(), Standing(available=50_000, held=0, owed=0, caps=caps), active=True)
    assert (found.reason, found.most, found.cap) == (None, 1, caps[2])
    found = judge(asked(), Standing(available=500, held=0, owed=0, caps=(cap(9_000, 0),)), active=True)
    assert (found.reason, found.cap) == (RefusalCode.INSUFFICIENT_CREDITS, None)


def test_a_share_of_a_pool_comes_before_a_cap() -> None:
    standing = Standing(available=50_000, held=0, owed=0, share=500, caps=(cap(1, 1),))
    assert judge(asked(), standing, active=True).reason is RefusalCode.POOL_CAP_REACHED


def test_without_a_known_price_it_is_asked_whether_any_is_left() -> None:
    unknown = Asked(feature="chat", units=5, unit="credits")
    found = judge(unknown, Standing(available=1, held=0, owed=0), active=True)
    assert (found.reason, found.cost, found.most) == (None, None, None)
    found = judge(unknown, Standing(available=0, held=3, owed=0), active=True)
    assert found.reason is RefusalCode.HOLDS_IN_FLIGHT
    assert (
        judge(unknown, Standing(available=9, held=0, owed=0), active=False).reason is RefusalCode.CUSTOMER_SUSPENDED
    )
