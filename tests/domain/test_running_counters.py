"""Counters of the past, gone through again: cost by cost what the way from one position to the next comes to."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.counters import Counting, Over
from sidecar.domain.price import Price
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_schedule import Tier, price_of
from sidecar.domain.running_counters import RunningCounters

MONTH_S = 31 * 86_400.0
MOST = 2**53 - 1
TIERS = (Tier(10, Fraction(10)), Tier(None, Fraction(1)))
PAGES = CountedSchedule(meters=("pages",), tiers=TIERS, free=5, counting=Counting("ocr/pages", Over.MONTH))
PRICE = price_of({}, 0, schedules=[PAGES])


def costs(
    counters: RunningCounters, *pages: int, payer: str = "cus_a", at_s: float = 0.0, price: Price = PRICE
) -> list[int]:
    return [counters.charge(payer, price, {"pages": each}, MOST, at_s) for each in pages]


@given(st.lists(st.integers(0, 12), max_size=12))
def test_a_month_costs_what_all_of_it_at_once_would(pages: list[int]) -> None:
    assert sum(costs(RunningCounters(), *pages)) == sum(costs(RunningCounters(), sum(pages)))


def test_payers_and_periods_count_by_themselves() -> None:
    counters = RunningCounters()
    assert costs(counters, 5, 10, 1) == [0, 100, 1]
    assert costs(counters, 6, payer="cus_b") == [10]
    assert costs(counters, 6, at_s=MONTH_S) == [10]
    # What was quoted in the month before is settled late.
    assert costs(counters, 1) == [1]


def test_old_periods_are_forgotten() -> None:
    counters = RunningCounters()
    for month in range(30):
        costs(counters, 1, at_s=month * MONTH_S)
    assert [len(periods) for periods in counters._used.values()] == [2]


def test_a_price_that_counts_nothing_needs_no_counter() -> None:
    counters = RunningCounters()
    assert costs(counters, 3, price=Price.of({"pages": Fraction(2)})) == [6]
    assert counters._used == {}
