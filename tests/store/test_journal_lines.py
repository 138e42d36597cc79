"""Lines decoded from what the scripts write."""

import struct
from typing import Any

import msgspec
import pytest

from sidecar.domain.blocks import NEVER_MS, Grant
from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.journal import BlockImage, HoldStory, Kind, Line, Move, Moved, Position, Record, Totals
from sidecar.store.journal_lines import line_of
from tests.support import lines
from tests.support.lines import Fields, block, customer_in, hold, image, moves, numbers

PARTITION = 5
CUSTOMER = customer_in(PARTITION)
AT = Position(1_700_000_000_123, 7)
IMAGE = image(3, granted=100, scheduled=5, available=40, held=20, spent=25, expired=4, voided=6, owed=0)
TOTALS = Totals(granted=100, scheduled=5, available=40, held=20, spent=25, expired=4, voided=6, owed=0)


def entry(fields: Fields) -> list[Any]:
    return [str(AT).encode(), [part for name, value in fields.items() for part in (name.encode(), value)]]


def decoded(fields: Fields) -> Line:
    line = line_of(PARTITION, entry(fields))
    assert isinstance(line, Line)
    return line


def test_a_grant() -> None:
    terms = Grant(block_id="blk_1", unit="credits", amount=50, source="top-up", eligible_features=("chat",))
    line = decoded(
        lines.line(
            Kind.GRANT,
            CUSTOMER,
            IMAGE,
            moves((Moved.GRANTED, 9, 50), (Moved.REPAID, 9, 10)),
            block=block(9, granted=50, available=40, created_at=17, starts_at=17, ends_at=90, priority=-3, paid=True),
            terms=msgspec.json.encode(terms),
            detail=b'{"actor":"ops","reason":"sorry"}',
        )
    )
    assert line == Line(
        partition=PARTITION,
        position=AT,
        kind=Kind.GRANT,
        customer_id=CUSTOMER,
        unit="credits",
        seq=3,
        after=TOTALS,
        moves=(Move(Moved.GRANTED, 9, 50), Move(Moved.REPAID, 9, 10)),
        block=BlockImage(
            number=9,
            state="active",
            priority=-3,
            paid=True,
            granted=50,
            available=40,
            held=0,
            lapsed=0,
            created_at_ms=17,
            starts_at_ms=17,
            expires_at_ms=90,
        ),
        grant=terms,
        detail={"actor": "ops", "reason": "sorry"},
    )


@pytest.mark.parametrize(
    ("packed", "state", "starts_at_ms", "expires_at_ms"),
    [
        (block(granted=5, state="active", starts_at=1, ends_at=NEVER_MS), "active", 1, None),
        (block(granted=5, state="scheduled", starts_at=8, ends_at=9), "scheduled", 8, 9),
        (block(granted=5, state="queued", ends_at=60_000), "queued", None, None),
        (block(granted=5, state="expired", starts_at=1, ends_at=9, lapsed=5), "expired", 1, 9),
        (block(granted=5, state="voided", starts_at=1, ends_at=NEVER_MS, lapsed=5), "voided", 1, None),
    ],
)
def test_the_dates_of_a_block(packed: bytes, state: str, starts_at_ms: int | None, expires_at_ms: int | None) -> None:
    shown = decoded(lines.line(Kind.EXPIRY, CUSTOMER, IMAGE, block=packed)).block
    assert shown is not None
    assert (shown.state, shown.starts_at_ms, shown.expires_at_ms) == (state, starts_at_ms, expires_at_ms)


def test_a_flag_that_is_not_ours_to_show() -> None:
    packed = bytearray(block(granted=5))
    packed[31] = 2  # Another block waits for this one.
    shown = decoded(lines.line(Kind.VOID, CUSTOMER, IMAGE, block=bytes(packed), detail=b"{}")).block
    assert shown is not None
    assert not shown.paid


@pytest.mark.parametrize("kind", [Kind.COMMIT, Kind.LATE_COMMIT, Kind.STEP_COMMIT])
def test_a_commit_in_two_units(kind: Kind) -> None:
    record = hold(
        CUSTOMER, "res 1".replace(" ", "_"), (1, 4, 6), (2, 1, 30), (1, 5, 7), units="credits=13,tokens=30",
        time=100_000, ttl_ms=40_000, charged=2, steps=1, feature="chat", rule="chat-completions",
    )  # fmt: skip
    fields = lines.line(
        kind, CUSTOMER, IMAGE, moves((Moved.SPENT, 4, 6), (Moved.OWED, 0, 2)),
        hold=record, usage=b"input_tokens=1 output_tokens=2", source=b"reported", numbers=numbers(1, 8, 2, 3),
    )  # fmt: skip
    line = decoded(fields)
    assert line.hold == HoldStory(
        reservation_id="res_1",
        customer_id=CUSTOMER,
        feature="chat",
        rule="chat-completions",
        held=13,
        reserved_at_ms=60_000,
        charged_before=2,
    )
    assert (line.charged, line.uncollected, line.usage) == (8, 3, "input_tokens=1 output_tokens=2")
    assert (line.source, line.block, line.grant) == ("reported", None, None)
    other = decoded(lines.line(kind, CUSTOMER, IMAGE, unit="tokens", hold=record, numbers=numbers(2, 8)))
    assert other.hold is not None
    assert other.hold.held == 30


def test_a_hold_that_had_expired_remembers_when_it_was_taken() -> None:
    record = hold(CUSTOMER, "r1", units="credits=5", state=2, time=100_000 + 900_000, ttl_ms=40_000)
    story = decoded(lines.line(Kind.LATE_COMMIT, CUSTOMER, IMAGE, hold=record, numbers=numbers())).hold
    assert story is not None
    assert (story.reserved_at_ms, story.held, story.feature) == (60_000, 0, "")


@pytest.mark.parametrize("packed", [None, numbers()])
def test_a_release_and_a_hold_expiry(packed: bytes | None) -> None:
    fields = {"hold": hold(CUSTOMER, "r1", (1, 1, 5), units="credits=5")}
    if packed is not None:
        fields["numbers"] = packed
    released = decoded({**lines.line(Kind.RELEASE, CUSTOMER, IMAGE), **fields, "reason": b"it failed"})
    expired = decoded({**lines.line(Kind.HOLD_EXPIRY, CUSTOMER, IMAGE), **fields})
    assert (released.reason, released.charged, expired.reason) == ("it failed", 0, "")
    assert released.hold == expired.hold
    assert released.hold is not None


@pytest.mark.parametrize("what", ["customer", "key", "key_revoked"])
def test_records(what: str) -> None:
    line = line_of(PARTITION, entry(lines.record(what, CUSTOMER, external_id="alice", created_at_ms=5)))
    assert line == Record(
        partition=PARTITION,
        position=AT,
        what=what,
        customer_id=CUSTOMER,
        data={"external_id": "alice", "created_at_ms": 5},
    )


def without(fields: Fields, name: str) -> Fields:
    return {each: value for each, value in fields.items() if each != name}


GOOD = lines.grant_line(CUSTOMER, 1, 10)
COMMIT = lines.line(Kind.COMMIT, CUSTOMER, IMAGE, hold=hold(CUSTOMER, "r1", units="credits=5"), numbers=numbers())
BROKEN: dict[str, Fields] = {
    "unknown kind": {"payout": CUSTOMER.encode()},
    "no subject": {"grant": b""},
    "no unit": {**GOOD, "grant": CUSTOMER.encode()},
    "no totals": without(GOOD, "after"),
    "no moves": without(GOOD, "moves"),
    "no block": without(GOOD, "block"),
    "no terms": without(GOOD, "terms"),
    "no hold": without(COMMIT, "hold"),
    "short totals": {**GOOD, "after": IMAGE[:-1]},
    "a fraction": {**GOOD, "after": struct.pack(">9d", 1, 0.5, *[0] * 7)},
    "a negative": {**GOOD, "after": struct.pack(">9d", 1, -1, *[0] * 7)},
    "too much": {**GOOD, "after": struct.pack(">9d", 1, 2.0**53, *[0] * 7)},
    "no number": {**GOOD, "after": struct.pack(">9d", 1, float("nan"), *[0] * 7)},
    "endless": {**GOOD, "after": struct.pack(">9d", 1, float("inf"), *[0] * 7)},
    "half a move": {**GOOD, "moves": moves((Moved.SPENT, 1, 1))[:-1]},
    "an unknown move": {**GOOD, "moves": b"\x63" + moves((Moved.SPENT, 1, 1))[1:]},
    "an unknown state": {**GOOD, "block": b"\xff" * 74},
    "terms of nothing": {**GOOD, "terms": b"{}"},
    "no JSON": {**GOOD, "detail": b"{"},
    "no text": {**COMMIT, "usage": b"\xff"},
    "slices that are not there": {**COMMIT, "hold": struct.pack(">dBdIH", 1, 1, 0, 0, 9)},
    "another unit": {**COMMIT, "hold": hold(CUSTOMER, "r1", units="tokens=5")},
    "a record of nothing": {"customer": CUSTOMER.encode()},
    "a list for a record": {"customer": CUSTOMER.encode(), "data": b"[]"},
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_none_of_ours_is_named(name: str) -> None:
    with pytest.raises(StoreCorrupt) as caught:
        line_of(PARTITION, entry(BROKEN[name]))
    assert str(AT) in caught.value.detail
    assert "partition 5" in caught.value.detail
    assert caught.value.detail.endswith("only the sidecar may write there.")


def test_the_good_ones_are_good() -> None:
    assert decoded(GOOD).kind is Kind.GRANT
    assert decoded(COMMIT).kind is Kind.COMMIT
