from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.price import Number, Price
from sidecar.domain.price_schedule import Schedule, SchedulePrice, Tier, price_of

TIERS = (Tier(10_000, 10), Tier(100_000, 5), Tier(None, 2))


def tiers(*tiers: Tier, volume: bool = False, free: int = 0, package: int = 0) -> Schedule:
    return Schedule(meters=("u",), tiers=tiers, volume=volume, free=free, package=package)


def only(schedule: Schedule, least: int = 0) -> Price:
    return price_of({}, schedules=[schedule], least=least)


@pytest.mark.parametrize(
    ("units", "graduated", "volume"),
    [
        (0, 0, 0),
        (1, 10, 10),
        (10_000, 100_000, 100_000),
        (10_001, 100_005, 50_005),
        (50_000, 300_000, 250_000),
        (100_000, 550_000, 500_000),
        (100_001, 550_002, 200_002),
        (150_000, 650_000, 300_000),
    ],
)
def test_tiers_by_hand(units: int, graduated: int, volume: int) -> None:
    assert only(tiers(*TIERS)).charge({"u": units}) == graduated
    assert only(tiers(*TIERS, volume=True)).charge({"u": units}) == volume


@pytest.mark.parametrize(
    ("units", "graduated", "volume"), [(0, 0, 0), (1, 101, 101), (10, 110, 110), (11, 112, 22), (12, 114, 24)]
)
def test_flat_fees_of_tiers(units: int, graduated: int, volume: int) -> None:
    """A graduated tier's fee is due when it is entered; of volume tiers, only that of the one which holds all."""
    fees = (Tier(10, 1, 100), Tier(None, 2, 0))
    assert only(tiers(*fees)).charge({"u": units}) == graduated
    assert only(tiers(*fees, volume=True)).charge({"u": units}) == volume


def test_a_tier_may_be_a_fee_alone() -> None:
    price = only(tiers(Tier(60, 0, 5), Tier(3600, 0, 9), Tier(None, 1)))
    assert [price.charge({"u": units}) for units in (0, 1, 60, 61, 3600, 3601)] == [0, 5, 5, 14, 14, 15]


@pytest.mark.parametrize(
    ("read", "amount"), [(0, 0), (1, 7), (1000, 7), (1001, 14), (Fraction(2001, 2), 14), (Fraction(1, 2), 7)]
)
def test_a_package_is_paid_when_it_is_started(read: Number, amount: int) -> None:
    assert only(tiers(Tier(None, 7), package=1000)).charge({"u": read}) == amount


@pytest.mark.parametrize(("read", "amount"), [(0, 0), (100, 0), (101, 3), (Fraction(201, 2), 2), (1100, 3000)])
def test_what_is_free_is_taken_off_first(read: Number, amount: int) -> None:
    assert only(tiers(Tier(None, 3), free=100)).charge({"u": read}) == amount


def test_features_worked_example_of_tokens() -> None:
    """1,234 at 3,000 per 1M and 567 at 15,000 per 1M are 12.207, rounded up once; with a markup it is still once."""
    rates = {"input": Fraction(3_000, 10**6), "output": Fraction(15_000, 10**6)}
    usage = {"input": 1_234, "output": 567}
    assert price_of(rates).charge(usage) == 13
    assert price_of(rates, markup=Fraction(1, 10)).charge(usage) == 14
    assert price_of(rates, markup=Fraction(1, 10), schedules=[tiers(Tier(None, 1))]).charge(usage) == 14


def test_the_least_is_charged_and_the_most_is_not_passed() -> None:
    price = price_of({"u": Fraction(2)}, least=10)
    assert [price.charge({"u": units}, 20) for units in (0, 4, 5, 6, 11)] == [10, 10, 10, 12, 20]


def test_classes_without_a_rate_are_counted_together() -> None:
    schedule = Schedule(meters=("input", "cached"), tiers=(Tier(10, 3), Tier(None, 1)))
    assert only(schedule).charge({"input": 8, "cached": 4}) == 32
    assert only(schedule).meters == ("input", "cached")


def test_a_hold_covers_the_bound_where_a_volume_price_falls() -> None:
    price = only(tiers(*TIERS, volume=True))
    assert price.charge({"u": 10_001}) == 50_005
    assert price.charge_up_to({"u": 10_001}) == 100_000
    assert price.charge_up_to({"u": 9_999}) == 99_990
    assert price.charge_up_to({"u": 10**6}) == 2_000_000
    assert price.charge_up_to({}) == 0


def test_a_hold_shows_what_it_is_for() -> None:
    price = only(tiers(*TIERS, volume=True))
    (line,) = price.lines_up_to({"u": 10_001})
    assert line.read == 10_000
    assert line.amount == 100_000
    assert price.lines_up_to({}) == []


def test_a_price_that_falls_says_so() -> None:
    (note, _) = only(tiers(*TIERS, volume=True)).notes
    assert note == "u: more than 10000 cost less than 10000, since all are at the rate of the last tier"
    assert only(tiers(*TIERS)).notes == ()
    assert only(tiers(Tier(10, 1), Tier(None, 2), volume=True)).notes == ()
    assert only(tiers(Tier(10, 2), Tier(None, 1), volume=True, free=5)).notes[0].startswith("u: more than 15 cost")


def test_without_any_of_it_a_price_is_plain() -> None:
    assert type(price_of({"u": Fraction(1)}, 5, markup=Fraction(1, 5))) is Price
    assert type(price_of({"u": Fraction(1)}, least=1)) is SchedulePrice


def shown(price: Price, **usage: Number) -> list[tuple[str, Number, Number, str]]:
    return [(line.meter, line.read, line.rate, line.note) for line in price.lines(usage)]


def test_a_charge_is_shown_slice_by_slice() -> None:
    price = price_of(
        {"v": Fraction(1)},
        4,
        schedules=[tiers(Tier(10, 3, 1), Tier(None, 2), free=5)],
        markup=Fraction(1, 2),
        least=100,
    )
    assert shown(price, u=18, v=2) == [
        ("flat", 1, 4, ""),
        ("v", 2, 1, ""),
        ("u", 5, 0, "free"),
        ("u", 10, 3, "up to 10"),
        ("u", 1, 1, "flat, up to 10"),
        ("u", 3, 2, "above 10"),
        ("markup", 1, Fraction(43, 2), "50%"),
        ("min_charge", 1, Fraction(71, 2), "added up to it"),
    ]
    assert shown(only(tiers(Tier(None, 2), package=10)), u=11) == [("u", 2, 2, "started packages of 10")]
    assert shown(only(tiers(*TIERS, volume=True)), u=10_001) == [("u", 10_001, 5, "up to 100000")]


_AMOUNT = st.fractions(min_value=0, max_value=10**4, max_denominator=10**6)
_READ = st.one_of(st.integers(0, 10**7), st.integers(0, 10**10).map(lambda n: Fraction(n, 1000)))
_MORE = st.one_of(st.just(0), st.integers(1, 10**7))


@st.composite
def _schedules(draw: st.DrawFn) -> Schedule:
    bounds = sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))
    steps = tuple(Tier(up_to, draw(_AMOUNT), draw(_AMOUNT)) for up_to in (*bounds, None))
    return tiers(*steps, volume=draw(st.booleans()), free=draw(_MORE), package=draw(_MORE))


def exact(schedule: Schedule, read: Number) -> Fraction:
    """The definition, in fractions: what a tier's slice costs, from what is free up to the end of what was read."""
    billed = max(Fraction(read) - schedule.free, Fraction(0))
    if schedule.package:
        billed = Fraction(-(-billed // schedule.package))
    total, above = Fraction(0), Fraction(0)
    for tier in schedule.tiers:
        end = billed if tier.up_to is None else min(billed, Fraction(tier.up_to))
        if billed > above:
            if schedule.volume:
                total = Fraction(0)
            total += (end if schedule.volume else end - above) * tier.rate + tier.flat
        above = max(end, above)
    return total


@given(_schedules(), _AMOUNT, st.integers(0, 10**6), st.fractions(0, 3, max_denominator=1000), _MORE, _READ, _READ)
def test_a_charge_is_the_exact_sum_rounded_up_once(
    schedule: Schedule, rate: Fraction, flat: int, markup: Fraction, least: int, u: Number, v: Number
) -> None:
    price = price_of({"v": rate}, flat, schedules=[schedule], markup=markup, least=least)
    usage = {"u": u, "v": v}
    total = max((flat + rate * v + exact(schedule, u)) * (1 + markup), Fraction(least))
    assert price.charge(usage) == min(-(-total // 1), MAX_AMOUNT)
    assert sum(line.amount for line in price.lines(usage)) == total
    assert all(line.amount == line.read * line.rate for line in price.lines(usage))


@given(_schedules(), st.integers(0, 10**6), _READ, _READ, st.integers(0, 10**9))
def test_no_usage_costs_more_than_was_held_for_as_much(
    schedule: Schedule, least: int, read: Number, more: Number, most: int
) -> None:
    price = only(schedule, least=least)
    held = price.charge_up_to({"u": read + more}, most)
    assert 0 <= price.charge({"u": read}, most) <= held <= most
    assert held == min(-(-sum(line.amount for line in price.lines_up_to({"u": read + more})) // 1), most)
    if not schedule.volume:
        assert price.charge({"u": read + more}, most) == held


@given(_schedules(), _READ)
def test_what_is_held_is_what_some_usage_costs(schedule: Schedule, read: Number) -> None:
    """A hold is no larger than it must be: it is the cost of `read`, or that of a bound below it."""
    price = only(schedule)
    ends = [tier.up_to * (schedule.package or 1) + schedule.free for tier in schedule.tiers if tier.up_to is not None]
    assert price.charge_up_to({"u": read}) in {price.charge({"u": end}) for end in (*ends, read) if end <= read}
