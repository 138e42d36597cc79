"""tests/control/test_reserve.py has the lives of reservations; here are their names."""

from sidecar.domain.once import Once
from sidecar.services.reservations import id_of

ALICE, BOB = "cus_01arz3ndektsv4rrffq69g5fav", "cus_01arz3ndektsv4rrffq69g5fbb"


def test_an_id_follows_from_who_asks_for_what_by_which_key() -> None:
    first = id_of(ALICE, Once("k", "ab"))
    assert first == id_of(ALICE, Once("k", "ab"))
    assert (
        len({first, id_of(BOB, Once("k", "ab")), id_of(ALICE, Once("l", "ab")), id_of(ALICE, Once("k", "ac"))}) == 4
    )
    assert first.startswith("res_01arz3ndektsv4rrffq69g5fav")
