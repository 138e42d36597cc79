"""Corrections and refunds of the model; the state machine compares it with the store."""

import pytest

from sidecar.domain.blocks import Grant, Slice
from sidecar.domain.books import Books
from sidecar.domain.errors import InvalidInput
from sidecar.domain.journal import HoldStory, Kind
from sidecar.domain.outcomes import Exceeded, Refunded, Short, Taken

STORY = HoldStory(
    reservation_id="r", customer_id="alice", feature="", rule="", held=0, reserved_at_ms=0, charged_before=0
)


def grant(block_id: str, amount: int) -> Grant:
    return Grant(block_id=block_id, unit="credits", amount=amount, source="test")


def test_what_is_taken_takes_all_or_nothing_unless_it_may_owe() -> None:
    books = Books("alice")
    books.grants.grant(grant("b1", 10), now_ms=1)
    take = books.corrections.take
    assert take("credits", 11, kind=Kind.ADJUSTMENT, owe=False, now_ms=1) == Short(11, 10)
    taken = take("credits", 12, kind=Kind.ADJUSTMENT, owe=True, now_ms=1)
    assert isinstance(taken, Taken)
    assert (taken.amount, taken.owed, taken.slices) == (12, 2, (Slice(1, 10),))
    books.check()
    with pytest.raises(InvalidInput):
        take("credits", 0, kind=Kind.ADJUSTMENT, owe=True, now_ms=1)


def test_a_refund_goes_on_where_the_last_one_ended() -> None:
    books = Books("alice")
    for name in ("b1", "b2"):
        books.grants.grant(grant(name, 10), now_ms=1)
    books.corrections.take("credits", 15, kind=Kind.ADJUSTMENT, owe=False, now_ms=1)
    slices = (Slice(2, 5), Slice(1, 10))

    def refund(amount: int | None) -> Refunded | Exceeded:
        rest = grant("rest", 1)
        return books.corrections.refund(
            "credits", "e1", amount, most=15, slices=slices, story=STORY, rest=rest, now_ms=2
        )

    first, second = refund(3), refund(None)
    assert isinstance(first, Refunded)
    assert isinstance(second, Refunded)
    assert (first.restored, first.granted) == (3, 0)
    # The first block was used up, so what it had paid is a new one.
    assert (second.restored, second.granted, second.total) == (2, 10, 15)
    assert refund(1) == Exceeded(15, 15)
    books.check()
