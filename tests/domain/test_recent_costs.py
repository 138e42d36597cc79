"""The percentile of the last costs is what a sort of them says."""

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.recent_costs import ENOUGH, RecentCosts


@given(
    costs=st.lists(st.integers(0, 50), max_size=120),
    percentile=st.fractions(Fraction(1, 1000), 100, max_denominator=1000),
    of=st.integers(1, 60),
)
def test_it_is_the_nearest_rank_of_the_last_ones(costs: list[int], percentile: Fraction, of: int) -> None:
    recent = RecentCosts(percentile, of)
    for count, cost in enumerate(costs, 1):
        recent.add(cost)
        last = sorted(costs[max(0, count - of) : count])
        if len(last) < min(ENOUGH, of):
            assert recent.value is None
            continue
        assert recent.value in last
        below = sum(cost <= recent.value for cost in last)
        assert below >= len(last) * percentile / 100
        assert last.index(recent.value) < math.ceil(len(last) * percentile / 100)


def test_what_another_one_knows_is_taken_over_in_its_order() -> None:
    before, after = RecentCosts(Fraction(50), 30), RecentCosts(Fraction(100), 20)
    for cost in range(30):
        before.add(cost)
    after.add_all(before)
    assert (before.value, after.value) == (14, 29)
    after.add(0)
    after.add(0)
    assert after.value == 29


def test_it_says_what_it_does() -> None:
    expected = "after 20 costs, percentile 99.5 of the last 200 of this rule is held"
    assert RecentCosts(Fraction(199, 2), 200).note == expected
