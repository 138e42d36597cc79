"""What makes grants, voids and extensions repeatable; the tables of tests/ledger have the rest."""

import pytest

from sidecar.domain.blocks import BLOCKS_MAX, Grant
from sidecar.domain.book_account import BookAccounts
from sidecar.domain.book_grants import ONCE_MS, BookGrants
from sidecar.domain.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from sidecar.domain.once import Once

ONCE = Once("key", "aa")


def grant(block_id: str, amount: int = 100, **terms: str | int) -> Grant:
    return Grant(block_id=block_id, unit="credits", amount=amount, source="test", **terms)  # type: ignore[arg-type]  # terms are given by name


@pytest.fixture
def grants() -> BookGrants:
    return BookGrants(BookAccounts("cus", 0))


def test_a_key_is_answered_as_at_first_for_a_day(grants: BookGrants) -> None:
    first = grants.grant(grant("b1"), now_ms=0, once=ONCE)
    grants.grant(grant("b2"), now_ms=1)
    again = grants.grant(grant("b1"), now_ms=ONCE_MS - 1, once=ONCE)
    assert again.replayed
    assert (again.block_id, again.totals, again.entry) == (first.block_id, first.totals, first.entry)
    assert not grants.grant(grant("b3"), now_ms=ONCE_MS, once=ONCE).replayed


def test_a_key_is_good_for_one_request(grants: BookGrants) -> None:
    grants.grant(grant("b1"), now_ms=0, once=ONCE)
    with pytest.raises(IdempotencyMismatch):
        grants.grant(grant("b2"), now_ms=0, once=Once("key", "bb"))
    with pytest.raises(IdempotencyMismatch):
        grants.void("b1", now_ms=0, once=ONCE)


def test_a_business_key_answers_with_its_block_for_ever(grants: BookGrants) -> None:
    grants.grant(grant("b1", dedup_key="signup"), now_ms=0, once=ONCE)
    again = grants.grant(grant("b2", dedup_key="signup"), now_ms=100 * ONCE_MS, once=ONCE)
    assert (again.block_id, again.duplicate, again.replayed) == ("b1", True, False)
    with pytest.raises(Conflict):
        grants.grant(grant("b2", 99, dedup_key="signup"), now_ms=0)
    assert not grants.grant(grant("b3", external_payment_id="signup"), now_ms=0).duplicate


def test_a_limit_of_live_blocks(grants: BookGrants) -> None:
    for number in range(BLOCKS_MAX):
        grants.grant(grant(f"b{number}"), now_ms=0)
    with pytest.raises(Conflict):
        grants.grant(grant("more"), now_ms=0)
    grants.void("b7", now_ms=0)
    assert grants.grant(grant("more"), now_ms=0).block_id == "more"


def test_the_entry_is_the_grant_s_own_line(grants: BookGrants) -> None:
    granted = grants.grant(grant("b1", expires_at_ms=10), now_ms=5)
    assert granted.entry == "5-0"
    grants.grant(grant("b2", starts_after_block_id="b1"), now_ms=6)
    assert grants.void("b1", now_ms=7).entry == "7-0"


def test_input_is_checked(grants: BookGrants) -> None:
    with pytest.raises(InvalidInput):
        grants.grant(grant("b1", 0), now_ms=0)
    with pytest.raises(NotFound):
        grants.extend("b1", None, now_ms=0)
