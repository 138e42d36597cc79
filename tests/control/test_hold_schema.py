import msgspec

from sidecar.control.hold_schema import HoldView, SliceView
from sidecar.domain.amounts import CREDITS
from sidecar.domain.outcomes import OpenHold

HOLD = OpenHold(
    reservation_id="r1",
    customer_id="cus_1",
    payer_id="cus_2",
    unit="credits",
    held=250_000,
    charged=0,
    feature="f",
    rule="r",
    created_at_ms=1_000,
    expires_at_ms=61_000,
)


def test_a_hold_of_one_unit_has_no_others() -> None:
    shown = msgspec.to_builtins(HoldView.of(HOLD, {"credits": CREDITS}))
    assert (shown["payer_customer_id"], shown["display"]) == ("cus_2", {"held": "0.25"})
    assert shown.keys() & {"others", "slices"} == set()


def test_further_units_and_slices_are_shown_where_there_are_any() -> None:
    hold = msgspec.structs.replace(HOLD, others=(msgspec.structs.replace(HOLD, unit="old", held=7),))
    shown = msgspec.to_builtins(
        HoldView.of(hold, {"credits": CREDITS}, [SliceView(block_id="b", unit="old", amount=7)])
    )
    assert shown["others"] == [{"unit": "old", "held": 7}]
    assert shown["slices"] == [{"block_id": "b", "unit": "old", "amount": 7}]
