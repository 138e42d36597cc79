"""Chargebacks of the model; the state machine of the ledger compares it with the store."""

import pytest

from sidecar.domain.blocks import Grant
from sidecar.domain.books import Books
from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.journal import Kind

NOW_MS = 1_700_000_000_000


def test_what_is_left_is_voided_and_the_rest_is_charged_once() -> None:
    books = Books("alice")
    for name, amount, bonus in (("blk_1", 100, 10), ("blk_2", 30, 0)):
        grant = Grant(block_id=name, unit="credits", amount=amount, source="topup", bonus=bonus)
        books.grants.grant(grant, now_ms=NOW_MS)

    def back(amount: int | None, *, owe: bool = True) -> tuple[int, int, int, int]:
        taken = books.chargebacks.take_back("credits", "blk_1", amount, owe=owe, now_ms=NOW_MS)
        return taken.voided, taken.charged, taken.owed, taken.uncollected

    assert back(25) == (0, 25, 0, 0)
    assert back(None, owe=False) == (85, 0, 0, 0)
    for more in (None, 1):
        with pytest.raises(Conflict):
            back(more)
    assert books.account("credits", now_ms=NOW_MS).totals.available == 30
    assert [line.kind for line in books.lines][-3:] == [Kind.CHARGEBACK, Kind.VOID, Kind.VOID]
    with pytest.raises(NotFound):
        books.chargebacks.known("credits", "blk_9", now_ms=NOW_MS)
    books.check()
