from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import CREDITS, MAX_AMOUNT, Unit
from sidecar.domain.errors import InvalidInput
from sidecar.domain.price import (
    Package,
    Price,
    exact_text,
    number_text,
    parse_count,
    parse_flat,
    parse_markup,
    parse_number,
    parse_rate,
    parse_rate_or_package,
    rate_text,
    usage_text,
)

TOKENS = Unit(name="tokens", scale=0)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("3", Fraction(3_000_000)),
        ("0.002", Fraction(2_000)),
        ("0.002 per 1000", Fraction(2)),
        ("2 per 1k", Fraction(2_000)),
        ("0.15 per 1M", Fraction(15, 100)),
        ("0.075  per  1M", Fraction(75, 1000)),
        ("0.0000001", Fraction(1, 10)),
        ("1 per 3", Fraction(1_000_000, 3)),
        ("0", Fraction(0)),
    ],
)
def test_rates_of_credits(text: str, rate: Fraction) -> None:
    assert parse_rate(text, CREDITS) == rate


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "1,5", ".5", "1.", "1 per", "1 per 0", "1 per 1.5", "1 per 1G", "one"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"0\.15 per 1M"):
        parse_rate(text, CREDITS)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0.10 per started 1000", Package(Fraction(100_000), 1000)),
        ("1 per started 1M", Package(Fraction(1_000_000), 1_000_000)),
        ("0.0000001 per started 2k", Package(Fraction(1, 10), 2000)),
        ("0.10 per 1000", Fraction(100)),
    ],
)
def test_packages(text: str, rate: Fraction | Package) -> None:
    assert parse_rate_or_package(text, CREDITS) == rate


@pytest.mark.parametrize("text", ["1 per started", "1 started per 10", "1 per started 0", "per started 10"])
def test_what_is_no_package_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="1 per started 1000"):
        parse_rate_or_package(text, CREDITS)


def test_a_package_is_no_rate_for_one() -> None:
    with pytest.raises(InvalidInput, match="packages cannot stand here"):
        parse_rate("1 per started 10", CREDITS)


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("100", 100), ("10k", 10_000), ("2M", 2_000_000)])
def test_counts(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "10K", ""])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="10k"):
        parse_count(text)


@pytest.mark.parametrize(
    ("text", "markup"),
    [("20%", Fraction(1, 5)), ("0%", Fraction(0)), ("12.5 %", Fraction(1, 8)), ("300%", Fraction(3))],
)
def test_markups(text: str, markup: Fraction) -> None:
    assert parse_markup(text) == markup


@pytest.mark.parametrize("text", ["20", "-20%", "0.2", "%", "1e1%"])
def test_what_is_no_markup_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="20%"):
        parse_markup(text)


def price(**rates: str) -> Price:
    flat = parse_flat(rates.pop("flat", "0"), CREDITS)
    return Price.of({meter: parse_rate(text, CREDITS) for meter, text in rates.items()}, flat)


@pytest.mark.parametrize(
    ("of", "usage", "amount"),
    [
        # 1200 × 0.15 + 300 × 0.60 = 180 + 180 base units
        (
            price(input_tokens="0.15 per 1M", output_tokens="0.60 per 1M"),
            {"input_tokens": 1200, "output_tokens": 300},
            360,
        ),
        # 0.15 + 0.60 = 0.75: each alone would round up to 1, together they do so once
        (price(input_tokens="0.15 per 1M", output_tokens="0.60 per 1M"), {"input_tokens": 1, "output_tokens": 1}, 1),
        # 0.05 + 0.05 × 19 = 1 exactly: nothing is rounded
        (price(a="0.05 per 1M", b="0.05 per 1M"), {"a": 1, "b": 19}, 1),
        # 1/3 + 1/7 = 10/21
        (price(a="0.000001 per 3", b="0.000001 per 7"), {"a": 1, "b": 1}, 1),
        (price(a="0.000001 per 3", b="0.000001 per 7"), {"a": 21, "b": 21}, 10),
        (price(gpu_ms="0.002 per 1000", flat="0.01"), {"gpu_ms": 1500}, 10_000 + 2 * 1500),
        (price(gpu_ms="0.002 per 1000", flat="0.01"), {}, 10_000),
        (price(cost="1"), {"cost": Fraction(1, 4)}, 250_000),
        (price(cost="1"), {"cost": Fraction(1, 10**9)}, 1),
        (price(a="1"), {"a": 0, "other": 5}, 0),
        (price(a="1000000"), {"a": MAX_AMOUNT}, MAX_AMOUNT),
        (price(), {"a": 1}, 0),
    ],
)
def test_charges_by_hand(of: Price, usage: dict[str, int | Fraction], amount: int) -> None:
    assert of.charge(usage) == amount


_RATES = st.fractions(min_value=0, max_value=10**6, max_denominator=10**7)
_READ = st.one_of(st.integers(0, 10**9), st.integers(0, 10**12).map(lambda n: Fraction(n, 10**6)))


@given(
    st.dictionaries(st.sampled_from("abcd"), _RATES),
    st.integers(0, 10**9),
    st.dictionaries(st.sampled_from("abcde"), _READ),
    st.fractions(min_value=0, max_value=3, max_denominator=10**6),
)
def test_a_charge_is_the_exact_sum_rounded_up_once(
    rates: dict[str, Fraction], flat: int, usage: dict[str, int | Fraction], markup: Fraction
) -> None:
    of = Price.of(rates, flat, markup)
    exact = (flat + sum(rate * usage.get(meter, 0) for meter, rate in rates.items())) * (1 + markup)
    charge = of.charge(usage)
    assert 0 <= charge <= MAX_AMOUNT
    assert charge == min(-(-exact // 1), MAX_AMOUNT)
    assert sum(line.amount for line in of.lines(usage)) == exact


@given(
    st.dictionaries(st.sampled_from("ab"), _RATES),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_more_use_never_costs_less(rates: dict[str, Fraction], a: int, b: int, more: int) -> None:
    of = Price.of(rates)
    assert of.charge({"a": a, "b": b}) <= of.charge({"a": a + more, "b": b})


def test_a_flat_amount_is_one_of_the_unit() -> None:
    assert parse_flat("5", TOKENS) == 5
    with pytest.raises(InvalidInput, match="decimal places"):
        parse_flat("0.5", TOKENS)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("12", 12), ("0.25", Fraction(1, 4)), ("7.0", 7)])
def test_numbers(text: str, number: int | Fraction) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "-1", "-0", "+1", "1e3", "nan", "inf", "1.", ".5", "0x1", "1 2", "5, 6", "9007199254740992", "1" * 30, "٣"],
)
def test_what_is_not_a_plain_number_is_none(text: str) -> None:
    assert parse_number(text) is None


def test_usage_as_text() -> None:
    assert usage_text({"input_tokens": 12, "output_tokens": 0, "cost": Fraction(1, 4)}) == "input_tokens=12 cost=0.25"


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        ("0.15 per 1M", "0.15 per 1M"),
        ("0.002 per 1000", "2 per 1M"),
        ("0.25", "0.25"),
        ("1 per 3", "~0.333333333"),
        ("0", "0"),
    ],
)
def test_rates_as_text(rate: str, text: str) -> None:
    assert rate_text(parse_rate(rate, CREDITS), CREDITS) == text


def test_decimals_as_text() -> None:
    assert [exact_text(Fraction(1, 8)), number_text(3), number_text(Fraction(5, 2))] == ["0.125", "3", "2.5"]
