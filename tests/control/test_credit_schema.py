import msgspec

from sidecar.control.credit_schema import BalanceView, BlockView, NextExpiry
from sidecar.domain.amounts import CREDITS
from sidecar.domain.blocks import Block, BlockState, Grant
from sidecar.domain.outcomes import Balance

GRANT = Grant(block_id="blk_1", unit="credits", amount=100, source="test")


def block(state: BlockState = BlockState.ACTIVE, available: int = 100, **dates: int | None) -> Block:
    known = {"created_at_ms": 1_000, "starts_at_ms": 1_000, "expires_at_ms": None} | dates
    return msgspec.convert(
        {"number": 1, "grant": GRANT, "state": state, "granted": 100, "available": available, "held": 0, "lapsed": 0}
        | known,
        Block,
    )


def test_a_balance_is_shown_as_integers_and_as_decimals() -> None:
    balance = Balance(unit="credits", granted=2**53 - 1, available=1_500_000, held=1, spent=0, owed=20, expired=3)
    view = BalanceView.of(balance, CREDITS)
    assert view.granted == 2**53 - 1
    assert msgspec.to_builtins(view)["display"] == {
        "available": "1.5",
        "scheduled": "0",
        "held": "0.000001",
        "spent": "0",
        "expired": "0.000003",
        "voided": "0",
        "owed": "0.00002",
        "granted": "9007199254.740991",
    }
    assert "display" not in msgspec.to_builtins(BalanceView.of(balance, None))


def test_what_a_block_has_stands_under_its_state() -> None:
    names = ("scheduled", "available", "held", "spent", "expired", "voided")
    whole = {
        BlockState.ACTIVE: (0, 70, 20, 10, 0, 0),
        BlockState.SCHEDULED: (70, 0, 20, 10, 0, 0),
        BlockState.QUEUED: (70, 0, 20, 10, 0, 0),
    }
    for state, amounts in whole.items():
        view = BlockView.of(msgspec.structs.replace(block(state, 70), held=20), CREDITS)
        assert tuple(getattr(view, name) for name in names) == amounts
    for state, name in ((BlockState.EXPIRED, "expired"), (BlockState.VOIDED, "voided")):
        view = BlockView.of(msgspec.structs.replace(block(state, 0), held=20, lapsed=70), CREDITS)
        assert (getattr(view, name), view.spent, view.available) == (70, 10, 0)


def test_what_expires_next_is_all_that_ends_at_the_first_end() -> None:
    blocks = [
        block(available=5, expires_at_ms=3_000),
        block(available=7, expires_at_ms=3_000),
        block(available=9, expires_at_ms=9_000),
        block(available=0, expires_at_ms=2_000),
        block(BlockState.SCHEDULED, 50, expires_at_ms=1_000),
        block(available=11),
    ]
    found = NextExpiry.of(blocks)
    assert found is not None
    assert (found.amount, found.at.timestamp()) == (12, 3.0)
    assert NextExpiry.of([block()]) is None
