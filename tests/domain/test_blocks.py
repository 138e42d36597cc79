"""Terms of a grant: what can be granted, and what is wrong with what cannot."""

from typing import Any

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import PRIORITY_MAX, Block, BlockState, Grant, checked_grant
from sidecar.domain.errors import InvalidInput


def granted(**terms: Any) -> Grant:
    known: dict[str, Any] = {"block_id": "blk_1", "unit": "credits", "amount": 100, "source": "manual"}
    return Grant(**known | terms)


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"amount": MAX_AMOUNT},
        {"priority": -PRIORITY_MAX},
        {"starts_at_ms": 1, "expires_at_ms": 2},
        {"starts_at_ms": 1, "duration_ms": 1},
        {"starts_after_block_id": "blk_0", "duration_ms": 1},
        {"price_paid": 499, "currency": "EUR"},
        {"price_paid": 0},
        {"series": "weekly", "cap": 0},
        {"metadata": {str(number): "x" for number in range(64)}},
    ],
)
def test_terms_that_can_be_granted(terms: dict[str, Any]) -> None:
    assert checked_grant(granted(**terms)) == granted(**terms)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": MAX_AMOUNT + 1}, "amount"),
        ({"amount": 1.0}, "amount"),
        ({"amount": True}, "amount"),
        ({"priority": PRIORITY_MAX + 1}, "priority"),
        ({"starts_at_ms": -1}, "starts_at_ms"),
        ({"expires_at_ms": 2**53}, "expires_at_ms"),
        ({"duration_ms": 0}, "duration_ms"),
        ({"expires_at_ms": 5, "duration_ms": 5}, "duration_ms"),
        ({"starts_at_ms": 5, "starts_after_block_id": "blk_0"}, "starts_after_block_id"),
        ({"starts_after_block_id": "blk_0", "expires_at_ms": 5}, "expires_at_ms"),
        ({"starts_at_ms": 5, "expires_at_ms": 5}, "expires_at_ms"),
        ({"price_paid": 1}, "currency"),
        ({"cap": 5}, "series"),
        ({"series": "weekly", "cap": -1}, "cap"),
        ({"source": "x" * 256}, "source"),
        ({"metadata": {"key": "x" * 256}}, "metadata.key"),
        ({"metadata": {str(number): "" for number in range(65)}}, "metadata"),
        ({"eligible_features": ("x" * 256,)}, "eligible_features." + "x" * 256),
        ({"dedup_key": "x" * 256}, "dedup_key"),
    ],
)
def test_what_cannot_be_granted_names_its_field(terms: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_grant(granted(**terms))
    assert caught.value.field == field


def test_what_a_block_has_spent_is_what_is_not_there_any_more() -> None:
    block = Block(
        number=1,
        grant=granted(),
        state=BlockState.ACTIVE,
        granted=100,
        available=40,
        held=25,
        lapsed=5,
        created_at_ms=1,
        starts_at_ms=1,
        expires_at_ms=None,
    )
    assert block.spent == 30
