"""One text for a hold: what is written is read back, and what cannot be is refused."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import InvalidInput, StoreCorrupt
from sidecar.store.hold_record import HoldRecord, hold_record, parsed

CUSTOMER = "cus_01jd0000000000000000000000"
ENTRY = f"{CUSTOMER}:rsv_1 gpu-hours.v2 {MAX_AMOUNT} 660000 a rule: with spaces, é"


def record(**changed: object) -> HoldRecord:
    terms: dict[str, object] = {
        "customer_id": CUSTOMER,
        "reservation_id": "rsv_1",
        "unit": "gpu-hours.v2",
        "amount": MAX_AMOUNT,
        "ttl_ms": 660_000,
        "rule": "a rule: with spaces, é",
    }
    return hold_record(**terms | changed)  # type: ignore[arg-type]  # Each of its own type.


def test_its_arguments_are_the_entry_the_field_and_the_amount() -> None:
    lines = record().packed.decode().split("\r\n")
    assert lines[1::2] == [ENTRY, "unit:gpu-hours.v2", str(MAX_AMOUNT)]
    assert [int(line[1:]) for line in lines[0:-1:2]] == [len(line.encode()) for line in lines[1::2]]


def test_what_is_written_is_read_back() -> None:
    assert parsed(ENTRY.encode()) == record()


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"reservation_id": "r 1"}, "reservation id"),
        ({"unit": "my credits"}, "unit"),
        ({"unit": ""}, "unit"),
        ({"unit": "é"}, "unit"),
        ({"amount": -1}, "amount"),
        ({"amount": MAX_AMOUNT + 1}, "amount"),
        ({"amount": 1.0}, "amount"),
        ({"ttl_ms": 0}, "at least 1 ms"),
    ],
)
def test_what_could_not_be_read_back_is_refused(changed: dict[str, object], what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        record(**changed)


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"alice:rsv_1 credits 5 1000 rule",
        f"{CUSTOMER}:rsv_1".encode(),
        f"{CUSTOMER}:rsv_1 credits many 1000 rule".encode(),
        f"{CUSTOMER}:rsv_1 credits -5 1000 rule".encode(),
        f"{CUSTOMER}:rsv_1 credits 5 0 rule".encode(),
        f"{CUSTOMER}:rsv_1 credits 5 1000 ".encode() + b"\xff",
    ],
)
def test_an_entry_that_we_never_write_is_corrupt(entry: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="open holds have the entry"):
        parsed(entry)
