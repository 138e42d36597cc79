"""Exact amounts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import CREDITS, MAX_AMOUNT, Unit, checked, parse, render
from sidecar.domain.errors import InvalidInput

WHOLE = Unit(name="requests", scale=0)


@pytest.mark.parametrize(
    ("text", "unit", "amount"),
    [
        ("12", CREDITS, 12_000_000),
        (" 0.25 ", CREDITS, 250_000),
        ("0.000001", CREDITS, 1),
        ("1.50000000", CREDITS, 1_500_000),
        ("007", WHOLE, 7),
        ("3.000", WHOLE, 3),
        ("9007199254.740991", CREDITS, MAX_AMOUNT),
    ],
)
def test_decimals_are_read_exactly(text: str, unit: Unit, amount: int) -> None:
    assert parse(text, unit) == amount


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", ".5", "1.", "1,5", "٣", "nan", "1 0", "9" * 17])
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"price must be a decimal number such as 12 or 0\.25"):
        parse(text, CREDITS, "price")


def test_more_decimals_than_the_unit_has_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"more than 6 decimal places.*credits is 0\.000001"):
        parse("0.0000001", CREDITS)


def test_more_than_the_largest_amount_is_refused() -> None:
    with pytest.raises(InvalidInput, match=str(MAX_AMOUNT)):
        parse("9007199254.740992", CREDITS)


@pytest.mark.parametrize("amount", [True, 1.0, "1", None])
def test_only_integers_are_amounts(amount: object) -> None:
    with pytest.raises(InvalidInput, match="whole number"):
        checked(amount)


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1])
def test_amounts_have_a_range(amount: int) -> None:
    with pytest.raises(InvalidInput, match="between 0 and") as caught:
        checked(amount, "charge")
    assert caught.value.field == "charge"


@pytest.mark.parametrize(
    ("amount", "unit", "text"),
    [
        (250_000, CREDITS, "0.25"),
        (-1, CREDITS, "-0.000001"),
        (12_000_000, CREDITS, "12"),
        (0, CREDITS, "0"),
        (7, WHOLE, "7"),
    ],
)
def test_amounts_are_shown_as_short_as_possible(amount: int, unit: Unit, text: str) -> None:
    assert render(amount, unit) == text


@given(st.integers(0, MAX_AMOUNT), st.integers(0, 9))
def test_what_is_shown_can_be_read_back(amount: int, scale: int) -> None:
    unit = Unit(name="u", scale=scale)
    assert parse(render(amount, unit), unit) == amount
