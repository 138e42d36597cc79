"""Prices that go on: the tables of the specification, ranges that are exactly those in which an amount is right."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Advance, Counting, Over, Stand
from sidecar.domain.price import Price
from sidecar.domain.price_counted import CountedCharge, CountedSchedule, Span, counted_in, countings_in
from sidecar.domain.price_schedule import Tier, price_of

COUNTING = Counting("c", Over.MONTH)
TIERS = (Tier(10_000, Fraction(10)), Tier(100_000, Fraction(5)), Tier(None, Fraction(2)))


def price(tiers: tuple[Tier, ...] = TIERS, *, volume: bool = False, free: int = 0, package: int = 0) -> Price:
    schedule = CountedSchedule(
        meters=("u",), tiers=tiers, volume=volume, free=free, package=package, counting=COUNTING
    )
    return price_of({}, schedules=[schedule])


def cost(priced: Price, position: int, units: int) -> int:
    return priced.at({"c": Stand(position)}).charge({"u": units})


def test_twelve_thousand_single_units_cost_less_than_by_event() -> None:
    assert sum(cost(price(), position, 1) for position in range(12_000)) == 110_000
    assert 12_000 * cost(price(), 0, 1) == 120_000


@pytest.mark.parametrize(("volume", "expected"), [(False, 150), (True, 100)])
def test_one_event_across_a_bound(volume: bool, expected: int) -> None:
    assert cost(price(volume=volume), 9_990, 20) == expected


@pytest.mark.parametrize(
    ("units", "expected"),
    [(1, 10), (10_000, 100_000), (10_001, 100_005), (50_000, 300_000), (100_000, 550_000), (100_001, 550_002),
     (150_000, 650_000)],
)  # fmt: skip
@pytest.mark.parametrize("parts", [1, 3, 7])
def test_graduated_tiers_come_to_the_same_in_any_parts(units: int, expected: int, parts: int) -> None:
    bounds = [units * part // parts for part in range(parts + 1)]
    assert sum(cost(price(), start, end - start) for start, end in pairwise(bounds)) == expected


def test_a_fee_is_due_when_its_tier_is_entered() -> None:
    tiers = (Tier(10, 1, 100), Tier(None, 2, 1000))
    assert [cost(price(tiers), position, 5) for position in (0, 5, 8, 10, 11)] == [105, 5, 1008, 1010, 10]
    assert [cost(price(tiers, volume=True), position, 5) for position in (0, 5, 8, 11)] == [105, 5, 1010, 10]


def test_packages_are_started_once_in_a_period() -> None:
    started = price((Tier(None, 7),), package=1000)
    assert [cost(started, position, 400) for position in (0, 400, 800, 1200)] == [7, 0, 7, 0]


def test_a_reading_with_decimals_is_rounded_up() -> None:
    assert price().charge({"u": Fraction(1, 3)}) == 10
    assert counted_in(price())[0].settled({"u": Fraction(1, 3)}).units == 1


@pytest.mark.parametrize(
    ("position", "units", "expected"),
    [
        (0, 10, Span(10, 0, 9_990)),
        (9_990, 10, Span(10, 0, 9_990)),
        (9_991, 10, Span(10, 9_991, 9_991)),
        (10_000, 10, Span(10, 10_000, 99_990)),
        (100_000, 10, Span(10, 100_000, MAX_AMOUNT)),
        (100_001, 0, Span(0, 0, MAX_AMOUNT)),
    ],
)
def test_an_amount_is_right_within_a_tier(position: int, units: int, expected: Span) -> None:
    (schedule,) = counted_in(price().at({"c": Stand(position)}))
    assert schedule.settled({"u": units}) == expected


def test_an_allowance_is_not_held_for_twice() -> None:
    allowance = price((Tier(None, 3),), free=10)
    held = [allowance.at({"c": Stand(2, held)}).charge_up_to({"u": 4}) for held in (0, 4, 6, 8, 20)]
    assert held == [0, 0, 6, 12, 12]


def test_a_charge_at_any_position() -> None:
    counter = COUNTING.at(0)
    charge = CountedCharge(price=price(), usage={"u": 20}, most=120, counters={"c": counter})
    assert charge.at({counter.key: Stand(9_990)}) == (120, (Advance(counter, 20, 9_990, 9_990),))
    assert charge.at({counter.key: Stand(10_000)}) == (100, (Advance(counter, 20, 10_000, 99_980),))
    fixed = CountedCharge(price=price(), usage={"u": 20}, most=120, counters={"c": counter}, fixed=7)
    assert fixed.at({counter.key: Stand(9_990)}) == (7, (Advance(counter, 20),))


def test_what_a_price_counts() -> None:
    assert countings_in(price()) == (COUNTING,)
    assert countings_in(Price.of({"u": Fraction(1)})) == ()


@st.composite
def prices(draw: st.DrawFn) -> Price:
    bounds = sorted(draw(st.sets(st.integers(1, 12), max_size=3)))
    amounts = st.integers(0, 4)
    tiers = tuple(Tier(bound, draw(amounts), draw(st.sampled_from([0, 0, 3]))) for bound in (*bounds, None))
    return price(
        tiers,
        volume=draw(st.booleans()),
        free=draw(st.sampled_from([0, 0, 3, 5])),
        package=draw(st.sampled_from([0, 0, 3])),
    )


@given(prices(), st.integers(0, 15), st.integers(0, 8))
def test_within_its_range_a_charge_is_the_same(priced: Price, position: int, units: int) -> None:
    (schedule,) = counted_in(priced.at({"c": Stand(position)}))
    span = schedule.settled({"u": units})
    assert span.low <= position <= span.high
    charges = {cost(priced, each, units) for each in range(span.low, min(span.high, 40) + 1)}
    assert charges == {cost(priced, position, units)}


@given(prices(), st.integers(0, 15), st.integers(0, 8), st.integers(0, 8), st.data())
def test_a_hold_is_enough_wherever_its_range_lets_it_be_taken(
    priced: Price, position: int, held: int, units: int, data: st.DataObject
) -> None:
    """Whatever of the others is counted before it, and however much of its own."""
    placed = priced.at({"c": Stand(position, held)})
    (schedule,) = counted_in(placed)
    span = schedule.claimed({"u": units})
    assert span.low <= position
    assert position + held <= span.high
    low = data.draw(st.integers(span.low, min(span.high, 40)))
    top = data.draw(st.integers(low, min(span.high, 60)))
    dearest = max(cost(priced, each, used) for each in range(low, top + 1) for used in range(units + 1))
    assert placed.charge_up_to({"u": units}) >= dearest


@given(st.lists(st.integers(0, 400), max_size=30))
def test_the_order_of_graduated_settlements_does_not_matter(parts: list[int]) -> None:
    tiers = (Tier(1_000, Fraction(1)), Tier(3_000, Fraction(1, 2), 9), Tier(None, Fraction(1, 3)))
    position = total = 0
    for part in parts:
        total += cost(price(tiers), position, part)
        position += part
    whole = cost(price(tiers), 0, position)
    # Each is rounded up by itself.
    assert whole <= total < whole + max(len(parts), 1)
