"""What a spend cap looks like on the wire."""

from sidecar.control.spend_cap_schema import SpendCapView
from sidecar.domain.amounts import CREDITS
from sidecar.domain.customers import Customer
from sidecar.domain.spend_caps import CapScope, CapStand, SpendCap

ALICE = Customer(customer_id="cus_a", external_id="alice", display_name="", status="active", created_at_ms=0)
CAP = SpendCap(
    cap_id="cap_1", unit="credits", amount=5, rolling_ms=60_000, scope=CapScope.RULE, of="draw", created_at_ms=0
)


def test_it_names_what_it_is_of_and_is_never_below_nothing() -> None:
    view = SpendCapView.of(ALICE, CapStand(CAP, 7, 1, 60_000), CREDITS)
    assert (view.left, view.rolling_seconds, view.window) == (0, 60, None)
    assert (view.rule, view.feature, view.key_id) == ("draw", None, None)
    assert view.display
    assert view.display.spent == "0.000007"


def test_a_unit_that_is_gone_has_no_decimals() -> None:
    assert not SpendCapView.of(ALICE, CapStand(CAP, 0, 0, 60_000), None).display
