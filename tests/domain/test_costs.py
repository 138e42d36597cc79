from fractions import Fraction

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.costs import UNITS, Cost
from sidecar.domain.counters import Advance, Counter, Counting, Over, Stand
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_schedule import Schedule, Tier, price_of

VOLUME = price_of({}, schedules=[Schedule(meters=(UNITS,), tiers=(Tier(100, 10), Tier(None, 1)), volume=True)])
COUNTING = Counting("api_call", Over.MONTH)
GRADUATED = price_of(
    {}, schedules=[CountedSchedule(meters=(UNITS,), tiers=(Tier(100, 10), Tier(None, 1)), counting=COUNTING)]
)
COUNTER = Counter("api_call@2026-11", 1)


def test_an_amount_is_what_it_is() -> None:
    cost = Cost(unit="credits", amount=7)
    assert (cost.exactly, cost.at_most, cost.usage, cost.claims, cost.counted(3)) == (7, 7, "", None, None)


def test_units_cost_what_their_price_says_and_a_hold_covers_less_use() -> None:
    cost = Cost(unit="credits", price=VOLUME, units=101)
    assert (cost.exactly, cost.at_most, cost.usage) == (101, 1_000, "units=101")
    assert Cost(unit="credits", price=VOLUME, units=Fraction(5, 2)).exactly == 25


def test_a_price_over_a_period_goes_on_from_where_the_counter_stands() -> None:
    cost = Cost(unit="credits", price=GRADUATED, units=20, counts={"api_call": COUNTER})
    assert cost.exactly == 200
    assert cost.placed({COUNTER.key: Stand(90)}).exactly == 110
    assert cost.claims is not None
    assert cost.claims.counters == (COUNTER,)
    amount, (advance,) = cost.claims.at({COUNTER.key: Stand(200, 50)})
    assert (amount, advance) == (20, Advance(COUNTER, 20, 100, MAX_AMOUNT))
    charge = cost.counted(15)
    assert charge is not None
    assert charge.at({COUNTER.key: Stand(90)})[0] == 95
    assert charge.at({COUNTER.key: Stand(200)})[0] == 5
