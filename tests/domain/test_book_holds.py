import pytest

from sidecar.domain.blocks import Slice
from sidecar.domain.book_holds import BookHold, Part, Reservation, checked_reservation
from sidecar.domain.errors import InvalidInput

TWO = Reservation(
    reservation_id="r", customer_id="ben", parts=(Part("credits", 5), Part("tokens", 7)), ttl_ms=60, feature="chat"
)


def test_a_hold_is_shown_by_its_parts() -> None:
    hold = BookHold(TWO, 1000)
    hold.slices = [(Slice(1, 2), Slice(2, 3)), (Slice(1, 7),)]
    hold.charged = 4
    shown = hold.shown("alice")
    (other,) = shown.others
    assert (shown.customer_id, shown.payer_id, shown.expires_at_ms) == ("ben", "alice", 1060)
    assert [(each.unit, each.held, each.charged) for each in (shown, other)] == [("credits", 5, 4), ("tokens", 7, 0)]
    assert shown.drawn == (Slice(1, 2), Slice(2, 3))


def test_its_story_is_told_for_each_part() -> None:
    hold = BookHold(TWO, 1000)
    hold.slices = [(Slice(1, 2), Slice(2, 3)), (Slice(1, 7),)]
    assert [hold.story(part).held for part in (0, 1)] == [5, 7]
    assert (hold.story(0).feature, hold.story(0).reserved_at_ms) == ("chat", 1000)


@pytest.mark.parametrize(
    "parts", [(), (Part("credits", 1), Part("credits", 2)), (Part("credits", -1),), (Part("credits", 2**53),)]
)
def test_what_cannot_be_reserved(parts: tuple[Part, ...]) -> None:
    with pytest.raises(InvalidInput):
        checked_reservation(Reservation(reservation_id="r", customer_id="c", parts=parts, ttl_ms=1))


def test_what_can() -> None:
    assert checked_reservation(TWO) is TWO
