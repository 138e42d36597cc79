"""The order in which blocks burn; the tables of tests/ledger have its worked numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.blocks import Block, BlockState, Grant, Slice
from sidecar.domain.burn_order import burn_rank, draw, drawable, eligible


def block(
    number: int, available: int = 100, *, created_at_ms: int = 0, state: str = "active", **terms: object
) -> Block:
    expires_at_ms = terms.pop("expires_at_ms", None)
    assert expires_at_ms is None or isinstance(expires_at_ms, int)
    return Block(
        number=number,
        grant=Grant(block_id=f"b{number}", unit="credits", amount=100, source="test", **terms),  # type: ignore[arg-type]  # terms are given by name
        state=BlockState(state),
        granted=100,
        available=available,
        held=0,
        lapsed=0,
        created_at_ms=created_at_ms,
        starts_at_ms=0,
        expires_at_ms=expires_at_ms,
    )


ORDERED = [
    block(9, priority=-1),
    block(8, expires_at_ms=10, price_paid=1),
    block(7, expires_at_ms=20, created_at_ms=9),
    block(6, expires_at_ms=20, price_paid=1, created_at_ms=1),
    block(2, created_at_ms=1),
    block(3, created_at_ms=1),
    block(1, created_at_ms=2, price_paid=0),
    block(4, created_at_ms=0, price_paid=1),
    block(5, priority=1, expires_at_ms=1),
]


@given(st.permutations(ORDERED))
def test_the_order_is_total(blocks: list[Block]) -> None:
    assert sorted(blocks, key=burn_rank) == ORDERED


@pytest.mark.parametrize(
    ("features", "rules", "served"),
    [
        ((), (), True),
        (("chat",), (), True),
        (("image",), (), False),
        ((), ("day",), True),
        (("image",), ("day",), True),
    ],
)
def test_who_is_eligible(features: tuple[str, ...], rules: tuple[str, ...], *, served: bool) -> None:
    grant = Grant(
        block_id="b", unit="credits", amount=1, source="test", eligible_features=features, eligible_rules=rules
    )
    assert eligible(grant, "chat", "day") is served


def test_only_active_blocks_can_be_drawn_from() -> None:
    blocks = [block(1, state="scheduled"), block(2), block(3, state="expired"), block(4, eligible_rules=("day",))]
    assert [each.number for each in drawable(blocks, "", "night")] == [2]


def test_an_amount_takes_slices_and_may_miss_some() -> None:
    blocks = [block(1, 30, priority=2), block(2, 0), block(3, 50, priority=1)]
    assert draw(blocks, 60, "", "") == ((Slice(3, 50), Slice(1, 10)), 0)
    assert draw(blocks, 100, "", "") == ((Slice(3, 50), Slice(1, 30)), 20)
    assert draw(blocks, 0, "", "") == ((), 0)
