"""What of a period's credit is carried."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import Grant, checked_grant
from sidecar.domain.errors import InvalidInput
from sidecar.domain.periods import SERIES, Carry, Closed, Opened, checked_carry, closed_of


@pytest.mark.parametrize(
    ("carry", "available", "carried"),
    [
        (Carry(), 1_000, 1_000),
        (Carry(limit=200), 1_000, 200),
        (Carry(limit=0), 1_000, 0),
        (Carry(limit=2_000), 1_000, 1_000),
        (Carry(limit=300), 600, 300),
        (Carry(percent=33), 200, 66),
        (Carry(percent=33), 199, 65),
        (Carry(percent=50, limit=70), 100, 50),
        (Carry(percent=50, limit=20), 100, 20),
        (Carry(percent=0), 100, 0),
        (Carry(percent=99), MAX_AMOUNT, MAX_AMOUNT * 99 // 100),
        (Carry(), 0, 0),
    ],
)
def test_what_is_carried(carry: Carry, available: int, carried: int) -> None:
    assert checked_carry(carry).of(available) == carried


@pytest.mark.parametrize(
    ("carry", "field"),
    [
        (Carry(limit=-1), "carry_limit"),
        (Carry(percent=101), "carry_percent"),
        (Carry(percent=-1), "carry_percent"),
        (Carry(lasts_ms=0), "carry_lasts_ms"),
    ],
)
def test_terms_that_cannot_be(carry: Carry, field: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        checked_carry(carry)
    assert wrong.value.field == field


def test_what_is_kept_is_read_again() -> None:
    closed = Closed(available=5, expired=2, carried=3, balance=-7)
    assert closed_of(f"99,{closed.text}") == (99, closed)
    opened = Opened(block_id="blk_1,2", amount=5, balance=-7)
    assert Opened.of_text(opened.text) == opened


def test_nobody_grants_into_the_series_of_periods() -> None:
    grant = Grant(block_id="blk_1", unit="credits", amount=1, source="grant", series=SERIES)
    with pytest.raises(InvalidInput, match="open one"):
        checked_grant(grant)
