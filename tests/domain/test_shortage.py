from sidecar.domain.clamp import Clamp
from sidecar.domain.shortage import DENY, Shortage


def test_what_it_says_about_itself() -> None:
    assert DENY.notes == ()
    assert Shortage(wait_ms=2500).notes == (
        "when the hold does not fit beside those in flight, the request waits for them up to 2.5 s",
    )
    assert len(Shortage(wait_ms=1, clamp=Clamp(("a",))).notes) == 2
    assert Shortage(clamp=Clamp(("a", "b"), 16)).notes == (
        "when the hold does not fit, a or b is lowered to what the balance buys, to 16 at least",
    )
