from sidecar.control.reserve_schema import CommittedView, StandingView
from sidecar.domain.amounts import CREDITS
from sidecar.domain.outcomes import HoldState
from sidecar.services.reservations import Committed, Standing

STANDING = Standing(
    reservation_id="res_1",
    customer_id="cus_1",
    payer_id="cus_2",
    state=HoldState.OPEN,
    unit="credits",
    held=1_500_000,
)


def test_what_is_not_known_is_left_out() -> None:
    view = StandingView.of(STANDING, {})
    assert (view.status, view.held) == ("active", 1_500_000)
    assert not any([view.display, view.created_at, view.expires_at, view.available])
    assert StandingView.of(STANDING, {"credits": CREDITS}).display


def test_a_commit_says_what_it_did() -> None:
    done = Committed(standing=STANDING, charged=3, released=4, owed=1, uncollected=2, available=9)
    view = CommittedView.after(done, {})
    assert (view.consumed, view.released, view.owed, view.uncollected, view.available) == (3, 4, 1, 2, 9)
