"""Whether a payer's books add up: the account, its blocks, its open holds, its pool, its journal, and `due`.

Everything is read back from the store; it wants a moment at which nobody writes.
"""

import struct
from collections import Counter
from collections.abc import Sequence

from sidecar.domain.journal import Kind, Line, Moved, Totals
from sidecar.store.audit import AccountBooks, Audit, PayerBooks
from tests.support.books import ENVIRONMENT, TENANT, Purse

_NEXT_AT = 72
"""Where in an account's header the time of its next event is."""


async def assert_right(purse: Purse) -> None:
    """All of it, for the payer of `purse`."""
    books = await Audit(purse.lane, tenant=TENANT, environment=ENVIRONMENT).payer(purse.payer_id)
    assert books.torn == ()
    lines = await purse.lines()
    for unit, account in books.accounts.items():
        _assert_account(account, {number: held for (of, number), held in books.held.items() if of == unit and held})
        assert_told([line for line in lines if line.unit == unit], account.seq, account.totals)
    _assert_shares(books)
    await assert_due_in_time(purse)


def assert_told(lines: Sequence[Line], seq: int, totals: Totals) -> None:
    """The lines of one account, one after the other, lead to its totals; only holds are told by none of them."""
    sums: Counter[Moved] = Counter()
    ends: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        assert line.seq == number
        assert line.after.balanced, line
        for move in line.moves:
            sums[move.what] += move.amount
        _assert_sums(sums, line.after)
        if line.hold is not None and line.kind in {Kind.COMMIT, Kind.RELEASE, Kind.HOLD_EXPIRY}:
            ends[line.hold.reservation_id] += 1
        if line.kind is Kind.LATE_COMMIT:
            assert line.hold is not None
            assert (ends[line.hold.reservation_id], line.hold.held) == (1, 0)
    assert seq == len(lines)
    _assert_sums(sums, totals)
    assert max(ends.values(), default=1) == 1, "a reservation ended twice"


async def assert_due_in_time(purse: Purse) -> None:
    """Nothing of the payer ends, starts or is forgotten before its `due`."""
    place = purse.keys.of(purse.payer_id)
    due, units = await purse.lane.execute("HMGET", place.customer, "due", "units")
    score = await purse.lane.execute("ZSCORE", place.due, purse.payer_id)
    assert (due is None) == (score is None)
    at = [struct.unpack_from(">d", record)[0] for record in await purse.lane.execute("HVALS", place.holds)]
    for unit in (units or b"").decode().split():
        account = await purse.lane.execute("GET", purse.keys.account(purse.payer_id, unit).account)
        at += struct.unpack_from(">d", account, _NEXT_AT)
    never = float(2**53 - 1)
    if due is None:
        assert min(at, default=never) == never
    else:
        assert float(due) == float(score)
        assert float(due) <= min(at, default=never)


def _assert_account(account: AccountBooks, held: dict[int, int]) -> None:
    totals, blocks = account.totals, account.blocks
    assert totals.balanced, totals
    assert {block.number: block.held for block in blocks if block.held} == held
    assert sum(held.values()) == totals.held
    active = [block for block in blocks if block.state == "active"]
    waiting = [block for block in blocks if block.state in {"scheduled", "queued"}]
    assert sum(block.available for block in active) == totals.available
    assert sum(block.available for block in waiting) == totals.scheduled
    assert all(block.available == 0 for block in blocks if block.state in {"expired", "voided"})
    assert all(block.available + block.held + block.lapsed <= block.granted for block in blocks)
    assert {block.number for block in blocks} <= account.block_ids.keys()


def _assert_shares(books: PayerBooks) -> None:
    held = {of: amount for of, amount in books.held_by_member.items() if amount}
    assert {of: share.held for of, share in books.shares.items() if share.held} == held


def _assert_sums(sums: Counter[Moved], totals: Totals) -> None:
    told = (totals.granted, totals.spent, totals.expired, totals.voided, totals.owed)
    assert told == (
        sums[Moved.GRANTED],
        sums[Moved.SPENT] + sums[Moved.REPAID],
        sums[Moved.EXPIRED],
        sums[Moved.VOIDED],
        sums[Moved.OWED] - sums[Moved.REPAID],
    )
