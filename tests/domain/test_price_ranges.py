"""Prices chosen by usage: the range that holds it, the hold for the dearest in reach, lines that add up."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import Bill, End, Measure, Meters, Tariff, open_meter
from sidecar.domain.price import Price, parse_rate
from sidecar.domain.price_ranges import RangedPrice, price_by_usage
from sidecar.domain.price_schedule import Schedule, Tier, price_of

RATES = {"in": Fraction(2), "out": Fraction(5)}
LONG = price_by_usage(
    ("in", "cached"),
    {10: Price.of(RATES), 100: Price.of({"in": Fraction(4), "out": Fraction(9)}), None: Price.of({}, 7)},
)
LATE = price_by_usage(("ms",), {800: Price.of({"out": Fraction(5)}), None: Price.of({})})


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({}, 0),
        ({"out": 1}, 5),
        ({"in": 10, "out": 1}, 25),
        ({"in": 10, "cached": 1, "out": 1}, 49),
        ({"in": Fraction(21, 2), "out": 1}, 51),
        ({"in": 100, "out": 1}, 409),
        ({"in": 101, "out": 1}, 7),
    ],
)
def test_all_of_it_has_the_price_of_the_range_that_holds_it(usage: dict[str, int | Fraction], cost: int) -> None:
    assert LONG.charge(usage) == cost
    assert sum(line.amount for line in LONG.lines(usage)) == cost
    assert LONG.charge(usage, 20) == min(cost, 20)
    assert LONG.meters == ("in", "out")


def test_a_hold_is_for_the_dearest_in_reach() -> None:
    assert LONG.charge_up_to({"in": 5, "out": 1}) == 15
    assert LONG.charge_up_to({"in": 50, "out": 1}) == 209
    assert LONG.charge_up_to({"in": 500, "out": 1}) == 2009
    assert LONG.charge_up_to({"in": 500, "out": 1}, 30) == 30


def test_where_nothing_is_said_of_what_decides_it_is_for_the_dearest_of_all() -> None:
    assert LONG.charge_up_to({"out": 3}) == 27
    assert LATE.charge_up_to({"out": 3}) == 15
    assert sum(line.amount for line in LATE.lines_up_to({"out": 3})) == 15


def test_an_answer_that_comes_late_is_free() -> None:
    meters = Meters(measures=(("ms", Measure.DURATION_MS), ("out", Measure.RESPONSE_BYTES)))
    nothing: dict[bytes, bytes] = {}
    for duration_ms, cost in ((0, 15), (800, 15), (801, 0)):
        meter = open_meter(Bill(Tariff(meters), LATE, 15), 200, nothing, hides=False)
        assert meter.finish(End.COMPLETE, 0, 3, duration_ms).amount == cost


def test_notes_say_what_decides() -> None:
    falling = price_of(
        {}, schedules=[Schedule(meters=("in",), tiers=(Tier(5, 9), Tier(None, 1)), volume=True)], least=0
    )
    first, second = price_by_usage(("in", "cached"), {10: falling, None: falling}).notes
    assert first == "the price depends on how much in + cached there is: up to 10, or more"
    assert "cost less" in second


rates = st.builds(lambda rate: parse_rate(f"{rate} per 1M", CREDITS), st.integers(0, 50))
prices = st.builds(lambda one, two: Price.of({"in": one, "out": two}), rates, rates)


@st.composite
def ranged(draw: st.DrawFn) -> RangedPrice:
    bounds = sorted(draw(st.sets(st.integers(1, 50), min_size=1, max_size=4)))
    inner: dict[int | None, Price] = {bound: draw(prices) for bound in bounds}
    return price_by_usage(("in",), inner | {None: draw(prices)})


@given(ranged(), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_no_usage_up_to_the_terms_costs_more_than_the_hold(
    price: RangedPrice, most_in: int, most_out: int, read_in: int, read_out: int
) -> None:
    usage = {"in": min(read_in, most_in), "out": min(read_out, most_out)}
    assert price.charge(usage) <= price.charge_up_to({"in": most_in, "out": most_out})
    assert price.charge(usage) <= price.charge_up_to({"out": most_out} | {"in": most_in})
