"""A hold's text: what is written is read back, and what cannot be is refused."""

import struct

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import Slice
from sidecar.domain.counters import Advance, Counter
from sidecar.domain.errors import InvalidInput, StoreCorrupt
from sidecar.domain.outcomes import HoldState
from sidecar.store.hold_record import (
    PARTS_MAX,
    HoldRecord,
    StoredHold,
    held_again,
    hold_record,
    not_held,
    open_hold,
    stored_hold,
)
from tests.support.lines import hold

CUSTOMER, PARENT = "cus_01jd0000000000000000000000", "cus_01jd0000000000000000000001"
RULE = "chat.é"


def record(**changed: object) -> HoldRecord:
    terms: dict[str, object] = {
        "customer_id": CUSTOMER,
        "payer_id": CUSTOMER,
        "reservation_id": "rsv_1",
        "parts": (("gpu-hours.v2", MAX_AMOUNT),),
        "ttl_ms": 660_000,
        "feature": "chät",
        "rule": RULE,
        "rules_version": "3f9a2c41",
    }
    return hold_record(**terms | changed)  # type: ignore[arg-type]  # Each of its own type.


def unpacked(packed: bytes) -> str:
    length, text, nothing = packed.split(b"\r\n")
    assert (length, nothing) == (b"$%d" % len(text), b"")
    return text.decode()


def test_its_arguments_are_its_id_and_its_text() -> None:
    assert unpacked(record().packed_id) == "rsv_1"
    assert (
        unpacked(record().packed_text) == f"rsv_1 {CUSTOMER} 660000 0 gpu-hours.v2={MAX_AMOUNT} chät {RULE} 3f9a2c41"
    )
    assert unpacked(record(remember=True, feature="").packed_text).split(" ")[3:6] == [
        "1", f"gpu-hours.v2={MAX_AMOUNT}", "-",
    ]  # fmt: skip


def test_what_is_written_is_read_back() -> None:
    parts = (("gpu-hours.v2", MAX_AMOUNT), ("credits", 0))
    text = unpacked(record(parts=parts).packed_text).encode()
    slices = struct.pack(">BIdBId", 1, 7, MAX_AMOUNT - 1, 1, 9, 1)
    head = struct.pack(">dBdIH", 1_700_000_660_000, 1, 5, 2, 2)
    stored = stored_hold(head + slices + text)
    assert stored == StoredHold(
        time_ms=1_700_000_660_000,
        state=HoldState.OPEN,
        charged=5,
        steps=2,
        slices=((1, Slice(7, MAX_AMOUNT - 1)), (1, Slice(9, 1))),
        reservation_id="rsv_1",
        customer_id=CUSTOMER,
        ttl_ms=660_000,
        parts=parts,
        feature="chät",
        rule=RULE,
        rules_version="3f9a2c41",
    )
    assert stored is not None
    shown = open_hold(stored, PARENT)
    assert (shown.unit, shown.held, shown.charged, shown.created_at_ms) == (
        "gpu-hours.v2", MAX_AMOUNT, 5, 1_700_000_000_000,
    )  # fmt: skip
    assert [(each.unit, each.held, each.charged, each.drawn) for each in shown.others] == [("credits", 0, 0, ())]
    assert (shown.customer_id, shown.payer_id) == (CUSTOMER, PARENT)


@pytest.mark.parametrize("version", ["", " -"])
def test_a_hold_need_not_say_by_which_rules(version: str) -> None:
    """One of a sidecar from before there were versions ends with the rule."""
    stored = stored_hold(hold(CUSTOMER, "r1", rule=f"chat{version}"))
    assert stored is not None
    assert (stored.rule, stored.rules_version) == ("chat", "")


def test_the_mark_of_a_release_that_came_first_is_no_hold() -> None:
    assert stored_hold(struct.pack(">dBdIH", 5, 3, 0, 0, 0) + b"-" * 64) is None


def test_who_asks_is_named_where_its_parent_pays() -> None:
    assert (record().member, record(payer_id=PARENT).member) == ("", CUSTOMER)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"reservation_id": "r 1"}, "reservation id"),
        ({"reservation_id": ""}, "reservation id"),
        ({"reservation_id": "r" * 129}, "reservation id"),
        ({"parts": (("my credits", 1),)}, "unit"),
        ({"parts": (("", 1),)}, "unit"),
        ({"parts": (("é", 1),)}, "unit"),
        ({"parts": (("a=1,b", 1),)}, "unit"),
        ({"parts": (("credits", -1),)}, "amount"),
        ({"parts": (("credits", MAX_AMOUNT + 1),)}, "amount"),
        ({"parts": (("credits", 1.0),)}, "amount"),
        ({"parts": ()}, "1 to 8 units; got 0"),
        ({"parts": tuple((f"u{n}", 1) for n in range(PARTS_MAX + 1))}, "1 to 8 units; got 9"),
        ({"parts": (("a", 1), ("a", 2))}, "each unit once"),
        ({"parts": (("a", 1), ("b", -1))}, "amount"),
        ({"ttl_ms": 0}, "at least 1 ms"),
        ({"feature": "my feature"}, "feature"),
        ({"feature": "f" * 256}, "feature"),
        ({"rule": "my rule"}, "rule"),
        ({"rules_version": "3f 9a"}, "rules_version"),
    ],
)
def test_what_could_not_be_read_back_is_refused(changed: dict[str, object], what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        record(**changed)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"credits many",
        hold("alice", "r1"),
        hold(CUSTOMER, "r1", units="credits"),
        hold(CUSTOMER, "r1", units="credits=many"),
        hold(CUSTOMER, "r1", state=9),
        hold(CUSTOMER, "r1")[:40],
        hold(CUSTOMER, "r1", rule="") + b"\xff",
        struct.pack(">dBdIH", 1, 1, 0, 0, 3) + b"y" * 70,
    ],
)
def test_a_record_that_we_never_write_is_corrupt(entry: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="holds have the record"):
        stored_hold(entry)


def test_a_life_that_was_lengthened_is_longer() -> None:
    head = struct.pack(">dBdIH", 1_700_000_660_000, 1, 0, 0, 0)
    stored = stored_hold(head + unpacked(record().packed_text).encode() + b" +30500")
    assert stored is not None
    assert (stored.ttl_ms, stored.rules_version) == (690_500, "3f9a2c41")
    assert open_hold(stored, CUSTOMER).created_at_ms == 1_700_000_660_000 - 690_500


def test_another_reservation_for_the_same() -> None:
    again = held_again(record(), "rsv_1.2", 77)
    expected = record(reservation_id="rsv_1.2", parts=(("gpu-hours.v2", 77),))
    assert again == expected


@pytest.mark.parametrize(
    "more", [{}, {"claims": (Advance(Counter("pages@2023-11", 100), 5),)}], ids=["plain", "counted"]
)
def test_what_is_charged_without_a_hold_counts_nothing_and_is_remembered(more: dict[str, object]) -> None:
    assert not_held(record(**more)) == record(remember=True)
