"""Spend caps of the model; the state machine of the ledger compares it with the store."""

from sidecar.domain.book_caps import BookCaps
from sidecar.domain.book_counters import BookCounters
from sidecar.domain.book_holds import BookHold, Part, Reservation
from sidecar.domain.counters import Counted
from sidecar.domain.spend_caps import CapScope, CapStand, SpendCap, Window

NOW_MS = 1_700_000_000_000
DAY = SpendCap(cap_id="cap_1", unit="credits", amount=100, window=Window.DAY, created_at_ms=0)
CHAT = SpendCap(
    cap_id="cap_2", unit="credits", amount=50, rolling_ms=60_000, scope=CapScope.FEATURE, of="chat", created_at_ms=0
)


def hold(name: str, amount: int, feature: str = "") -> BookHold:
    parts = (Part("credits", amount),)
    return BookHold(
        Reservation(reservation_id=name, customer_id="alice", parts=parts, ttl_ms=1000, feature=feature), NOW_MS
    )


def test_a_hold_counts_where_it_began_until_it_ends() -> None:
    caps = BookCaps("alice", BookCounters())
    caps.add("alice", DAY)
    caps.add("alice", CHAT)
    first = hold("r1", 40, "chat")
    assert caps.beyond(first, 0, 40, NOW_MS, grows=False) is None
    caps.begin(first, NOW_MS)
    assert caps.correct(first, 0, 40) == ()
    refused = caps.beyond(hold("r2", 11, "chat"), 0, 11, NOW_MS, grows=False)
    assert refused is not None
    assert refused.capped is not None
    assert (refused.capped.cap_id, refused.available, refused.capped.wait_ms) == ("cap_2", 10, 0)
    assert caps.beyond(hold("r2", 11), 0, 11, NOW_MS, grows=False) is None
    assert caps.beyond(first, 0, 61, NOW_MS + 120_000, grows=True) is not None
    assert caps.beyond(first, 0, 60, NOW_MS + 120_000, grows=True) is None
    day, chat = (cap.counters(NOW_MS)[0] for cap in (DAY, CHAT))
    assert caps.correct(first, 0, -40, 30) == (Counted(day.key, 30, 30), Counted(chat.key, 30, 30))
    assert caps.stands("alice", "credits", NOW_MS) == [
        CapStand(DAY, 30, 0, day.until_ms),
        CapStand(CHAT, 30, 0, chat.until_ms),
    ]
    caps.remove("alice", "cap_1")
    assert [stand.cap for stand in caps.stands("alice", "credits", NOW_MS)] == [CHAT]
