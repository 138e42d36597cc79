"""A pinned price charges what the price did."""

from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.pinned_price import PinnedPrice, pinned
from sidecar.domain.price import Price
from sidecar.domain.price_schedule import Schedule, Tier, price_of

METERS = ("a", "b", "c")
rates = st.fractions(min_value=0, max_value=1000, max_denominator=1_000_000)
numbers = st.integers(0, 10**6) | rates
tiers = st.tuples(numbers, numbers).map(lambda pair: (Tier(100, pair[0]), Tier(None, pair[1], 5)))
schedules = st.builds(
    lambda tiers, volume, package, free: Schedule(
        meters=("c",), tiers=tiers, volume=volume, package=package, free=free
    ),
    tiers, st.booleans(), st.sampled_from([0, 0, 10]), st.integers(0, 50),
)  # fmt: skip
prices = st.builds(
    lambda rates, flat, schedules, markup, least: price_of(
        rates, flat, schedules=schedules, markup=markup, least=least
    ),
    st.dictionaries(st.sampled_from(METERS[:2]), rates), st.integers(0, 1000), st.lists(schedules, max_size=1),
    st.fractions(0, 2, max_denominator=100), st.integers(0, 500),
)  # fmt: skip


@given(prices, st.dictionaries(st.sampled_from(METERS), st.integers(0, 10**6)))
def test_it_charges_the_same_after_a_journey(price: Price, usage: dict[str, int]) -> None:
    packed = msgspec.msgpack.encode(pinned(price))
    again = msgspec.msgpack.decode(packed, type=PinnedPrice).price()
    assert again == price
    assert again.charge(usage) == price.charge(usage)


def test_fractions_stay_exact() -> None:
    third = Price.of({"a": Fraction(1, 3)}, 0, Fraction(1, 7))
    assert pinned(third).price().charge({"a": 21}) == 8
