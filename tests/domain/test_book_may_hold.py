"""What keeps an amount from being held, in its order."""

from sidecar.domain.blocks import Grant
from sidecar.domain.book_holds import Part, Reservation
from sidecar.domain.books import Books
from sidecar.domain.once import Once
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.spend_caps import SpendCap, Window

NOW_MS = 1_700_000_000_000


def test_shares_come_before_spend_caps_and_these_before_the_balance() -> None:
    books = Books("alice")
    books.members.join("ben")
    grant = Grant(block_id="blk_1", unit="credits", amount=100, source="test")
    books.grants.grant(grant, now_ms=NOW_MS, once=Once("k", "f"))

    def asked(amount: int) -> RefusalCode:
        parts = (Part("credits", amount),)
        wanted = Reservation(reservation_id="r", customer_id="ben", parts=parts, ttl_ms=1000)
        refused = books.reserve(wanted, now_ms=NOW_MS)
        assert isinstance(refused, Refused)
        return refused.code

    assert asked(101) is RefusalCode.INSUFFICIENT_CREDITS
    books.caps.add(
        "ben", SpendCap(cap_id="cap_1", unit="credits", amount=90, window=Window.DAY, created_at_ms=NOW_MS)
    )
    assert asked(101) is RefusalCode.SPEND_CAP_REACHED
    books.members.set_cap("ben", "credits", 95)
    assert (asked(101), asked(95)) == (RefusalCode.POOL_CAP_REACHED, RefusalCode.SPEND_CAP_REACHED)
