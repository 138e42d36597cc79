"""One account of the model, step by step; what operations make of it is in tests/ledger."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import BlockState, Grant, Slice
from sidecar.domain.book_account import BookAccount, BookAccounts, end_of, is_over
from sidecar.domain.journal import Kind, Move, Moved, Totals


def grant(block_id: str, **terms: int | str) -> Grant:
    return Grant(block_id=block_id, unit="credits", amount=100, source="test", **terms)  # type: ignore[arg-type]  # terms are given by name


@pytest.fixture
def accounts() -> BookAccounts:
    return BookAccounts("cus", 3)


@pytest.fixture
def account(accounts: BookAccounts) -> BookAccount:
    account = accounts.at("credits", 0)
    account.add(grant("b1", expires_at_ms=50), 100, starts_at_ms=0, now_ms=0)
    account.write(Kind.GRANT, 0, about=1)
    return account


def test_a_line_has_the_moves_the_totals_and_the_block(accounts: BookAccounts, account: BookAccount) -> None:
    (line,) = accounts.lines.written
    assert (line.partition, line.customer_id, line.unit, line.seq) == (3, "cus", "credits", 1)
    assert line.moves == (Move(Moved.GRANTED, 1, 100),)
    assert line.after == account.totals == Totals(granted=100, available=100)
    assert line.block is not None
    assert (line.block.number, line.block.state, line.block.expires_at_ms) == (1, "active", 50)


def test_what_is_held_settles_by_parts(accounts: BookAccounts, account: BookAccount) -> None:
    account.hold([Slice(1, 40)])
    account.settle(Slice(1, 30), 20)
    account.write(Kind.COMMIT, 1)
    assert account.totals == Totals(granted=100, available=70, held=10, spent=20)
    assert accounts.lines.written[-1].moves == (Move(Moved.SPENT, 1, 20),)


def test_what_returns_repays_debt_before_it_lapses(accounts: BookAccounts, account: BookAccount) -> None:
    account.hold([Slice(1, 100)])
    assert account.owe(30) == 30
    account.write(Kind.COMMIT, 50)
    account.advance(50)
    account.settle(Slice(1, 100), 0)
    account.write(Kind.RELEASE, 50)
    assert accounts.lines.written[-1].moves == (Move(Moved.REPAID, 1, 30), Move(Moved.EXPIRED, 1, 70))
    account.advance(50)
    assert not account.live
    account.check()


def test_debt_stops_at_the_largest_amount(account: BookAccount) -> None:
    assert [account.owe(MAX_AMOUNT - 1), account.owe(5), account.owe(5)] == [MAX_AMOUNT - 1, 1, 0]


def test_a_chain_runs_through_in_one_go(accounts: BookAccounts, account: BookAccount) -> None:
    account.add(grant("b2", starts_after_block_id="b1", duration_ms=10), 100, starts_at_ms=None, now_ms=0)
    account.add(grant("b3", starts_after_block_id="b2"), 100, starts_at_ms=None, now_ms=0)
    account.write(Kind.GRANT, 0, about=3)
    account.advance(49)
    assert account.totals == Totals(granted=300, available=100, scheduled=200)
    account.advance(1000)
    assert [line.kind.value for line in accounts.lines.written[2:]] == [
        "expiry",
        "activation",
        "expiry",
        "activation",
    ]
    assert (account.gone[2].starts_at_ms, account.gone[2].expires_at_ms, account.live[3].starts_at_ms) == (50, 60, 60)
    account.check()


def test_blocks_that_start_later_start_in_their_order(accounts: BookAccounts, account: BookAccount) -> None:
    for number, start in ((2, 30), (3, 20), (4, 20)):
        account.add(grant(f"b{number}", starts_at_ms=start), 100, starts_at_ms=start, now_ms=0)
    account.write(Kind.GRANT, 0, about=4)
    account.advance(30)
    assert [line.block.number for line in accounts.lines.written[2:] if line.block] == [3, 4, 2]


def test_void_and_extend(accounts: BookAccounts, account: BookAccount) -> None:
    account.extend(1, None, 1, {"actor": "ops"})
    account.hold([Slice(1, 10)])
    assert account.void(1, 2, {}) == 90
    account.advance(2)
    assert account.live[1].state is BlockState.VOIDED
    account.settle(Slice(1, 10), 4)
    account.write(Kind.COMMIT, 3)
    account.advance(3)
    assert account.totals == Totals(granted=100, spent=4, voided=96)
    assert accounts.lines.written[1].detail == {"actor": "ops"}
    assert account.named("b1") is None
    account.check()


def test_check_sees_what_the_journal_does_not_say(account: BookAccount) -> None:
    account.spend([Slice(1, 1)])
    with pytest.raises(AssertionError):
        account.check()


def test_ends() -> None:
    assert end_of(grant("b"), 5) is None
    assert end_of(grant("b", expires_at_ms=9), 5) == 9
    assert end_of(grant("b", duration_ms=9), 5) == 14
    assert end_of(grant("b", duration_ms=MAX_AMOUNT), 5) is None


def test_over(account: BookAccount) -> None:
    assert not is_over(account.live[1])
    account.spend([Slice(1, 100)])
    assert is_over(account.live[1])
