"""What people are told of `on_store_down`."""

from sidecar.domain.amounts import CREDITS
from sidecar.domain.store_down import DENY, OnStoreDown, StoreDown


def test_notes_say_who_may_spend_what() -> None:
    assert DENY.notes(CREDITS) == ()
    (allowed,) = StoreDown(way=OnStoreDown.ALLOW, most=5 * 10**CREDITS.scale, for_s=90).notes(CREDITS)
    assert "for 90 s, up to 5 credits each" in allowed
    (known,) = StoreDown(way=OnStoreDown.ALLOW).notes(CREDITS)
    assert "up to what each last had, and charges" in known
    (bounded,) = StoreDown(way=OnStoreDown.ALLOW, most=10**CREDITS.scale, total=9 * 10**CREDITS.scale).notes(CREDITS)
    assert "up to 1 credits each and 9 credits together" in bounded
    (leased,) = StoreDown(way=OnStoreDown.LEASE).notes(CREDITS)
    assert "on lease" in leased
