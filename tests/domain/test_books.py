"""The model as records; the tables of tests/ledger are where its behaviour is written down."""

import pytest

from sidecar.domain.blocks import Grant, Slice
from sidecar.domain.book_holds import Part, Reservation
from sidecar.domain.books import Books
from sidecar.domain.errors import IdempotencyMismatch, InvalidInput
from sidecar.domain.journal import Kind, Move, Moved, Totals
from sidecar.domain.outcomes import Reserved, Settled

NOW = 1000


def asked(reservation_id: str, **amounts: int) -> Reservation:
    parts = tuple(Part(unit, amount) for unit, amount in amounts.items())
    return Reservation(reservation_id=reservation_id, customer_id="alice", parts=parts, ttl_ms=60, feature="chat")


@pytest.fixture
def books() -> Books:
    books = Books("alice", partition=7)
    for unit in ("credits", "tokens"):
        books.grants.grant(Grant(block_id=f"b-{unit}", unit=unit, amount=100, source="test"), now_ms=NOW)
    return books


def test_answers_are_given_by_parts(books: Books) -> None:
    reserved = books.reserve(asked("r", credits=30, tokens=20), now_ms=NOW)
    other = Reserved(20, 80, drawn=(Slice(1, 20),))
    assert reserved == Reserved(30, 70, drawn=(Slice(1, 30),), others=(other,))
    settled = books.commit("r", [10, 120], now_ms=NOW)
    assert settled == Settled(10, 90, others=(Settled(120, 0, 20),))
    books.check()


def test_a_line_tells_the_story_of_its_hold(books: Books) -> None:
    books.reserve(asked("r", credits=30), now_ms=NOW)
    books.commit("r", [5], now_ms=NOW + 1, step=1)
    books.commit("r", [10], now_ms=NOW + 2, usage="input_tokens=1", source="reported")
    step, line = books.lines[-2:]
    assert (step.kind, line.kind, line.partition, line.seq) == (Kind.STEP_COMMIT, Kind.COMMIT, 7, 3)
    assert (line.charged, line.usage, line.source) == (10, "input_tokens=1", "reported")
    assert line.moves == (Move(Moved.SPENT, 1, 10),)
    assert line.after == Totals(granted=100, available=85, spent=15)
    assert line.hold is not None
    assert (line.hold.held, line.hold.charged_before, line.hold.reserved_at_ms) == (25, 5, NOW)
    assert (line.hold.customer_id, line.hold.feature) == ("alice", "chat")


def test_the_account_is_shown_in_burn_order(books: Books) -> None:
    for block_id, priority, start in (("late", -1, NOW + 9), ("last", 1, NOW), ("first", -1, NOW)):
        grant = Grant(
            block_id=block_id, unit="credits", amount=1, source="test", priority=priority, starts_at_ms=start
        )
        books.grants.grant(grant, now_ms=NOW)
    shown = books.account("credits", now_ms=NOW)
    assert [(block.grant.block_id, block.burn_position) for block in shown.blocks] == [
        ("first", 1),
        ("b-credits", 2),
        ("last", 3),
        ("late", None),
    ]
    assert (shown.seq, shown.totals.scheduled, books.units()) == (4, 1, ["credits", "tokens"])


def test_reading_lets_happen_what_is_due(books: Books) -> None:
    grant = Grant(block_id="b", unit="gpu", amount=1, source="test", expires_at_ms=NOW + 1)
    books.grants.grant(grant, now_ms=NOW)
    assert books.account("gpu", now_ms=NOW + 1).totals == Totals(granted=1, expired=1)
    assert books.lines[-1].kind is Kind.EXPIRY
    assert books.account("never", now_ms=NOW).totals == Totals()


def test_open_holds_are_listed_by_their_deadline(books: Books) -> None:
    books.reserve(asked("r2", credits=30), now_ms=NOW + 1)
    books.reserve(asked("r1", credits=3, tokens=20), now_ms=NOW)
    assert [hold.reservation_id for hold in books.open_holds()] == ["r1", "r2"]
    assert not books.expire("r2", now_ms=NOW + 60)
    assert books.expire("r1", now_ms=NOW + 60)
    assert not books.expire("r1", now_ms=NOW + 60)
    assert [hold.reservation_id for hold in books.open_holds()] == ["r2"]
    assert books.sweep(now_ms=NOW + 61) == 1
    books.check()


def test_input_is_checked(books: Books) -> None:
    books.reserve(asked("r", credits=3), now_ms=NOW)
    with pytest.raises(IdempotencyMismatch):
        books.reserve(asked("r", credits=3, tokens=1), now_ms=NOW)
    with pytest.raises(InvalidInput):
        books.commit("r", [1, 2], now_ms=NOW)
    with pytest.raises(InvalidInput):
        books.commit("r", [-1], now_ms=NOW)
    with pytest.raises(InvalidInput):
        books.commit("r", [1], now_ms=NOW, step=-1)
    with pytest.raises(InvalidInput):
        books.resize("r", [9], now_ms=NOW, ttl_ms=0)
    assert [hold.held for hold in books.open_holds()] == [3]


def test_check_sees_a_hold_without_its_slices(books: Books) -> None:
    books.reserve(asked("r", credits=3), now_ms=NOW)
    books.check()
    books._holds.clear()
    with pytest.raises(AssertionError):
        books.check()
