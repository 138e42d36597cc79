"""One line of the journal, decoded: the packed fields that the scripts write become `Line` and `Record`.

It reads no store. A line that no script of ours has written is StoreCorrupt, never half a line.
"""

import struct
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.blocks import NEVER_MS, BlockState, Grant
from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.journal import BlockImage, HoldStory, Kind, Line, Move, Moved, Position, Record, Totals
from sidecar.domain.notes import note_of
from sidecar.domain.transfers import transfer_story
from sidecar.store.account_text import BLOCK, IMAGE, PAID, STATES
from sidecar.store.counter_text import counted_of
from sidecar.store.hold_record import hold_text

_MOVE = struct.Struct(">BId")
_HOLD = struct.Struct(">dBdIH")
_SLICE = struct.Struct(">BId")
_NUMBERS = struct.Struct(">4d")

_KINDS = {kind.value.encode(): kind for kind in Kind}
_RECORDS = {what.encode(): what for what in ("customer", "key", "key_revoked", "pool_cap", "spend_caps")}
_WITH_TERMS = {Kind.GRANT, Kind.TRANSFER_IN}
_WITH_BLOCK = {*_WITH_TERMS, Kind.ACTIVATION, Kind.EXPIRY, Kind.VOID, Kind.EXTENSION}
_TOLD = {Kind.REFUND, Kind.TRANSFER_OUT}
_WITHOUT_HOLD = {*_WITH_BLOCK, Kind.ADJUSTMENT, Kind.PURCHASE, Kind.PERIOD_CLOSE} - {Kind.TRANSFER_IN}
_MOVED = {what.value: what for what in Moved}
_OVERDUE = 2
_LATE_KEPT_MS = 900_000
"""As in `lua/shared/hold.lua`: so long an overdue hold can be committed late."""

_terms = msgspec.json.Decoder(Grant)
_detail = msgspec.json.Decoder(dict[str, str])
_told = msgspec.json.Decoder(HoldStory)
_data = msgspec.json.Decoder(dict[str, object])


def line_of(partition: int, entry: list[Any]) -> Line | Record:
    """What `entry`, an id and its fields as a stream answers them, says. Raises StoreCorrupt naming both."""
    place = f"line {entry[0].decode(errors='replace')} in the journal of partition {partition}"
    try:
        position, fields = Position.parse(entry[0].decode()), entry[1]
        kind, subject = fields[0], fields[1].decode()
        values = dict(zip(fields[2::2], fields[3::2], strict=True))
        if (what := _RECORDS.get(kind)) is not None:
            data = _data.decode(values[b"data"])
            return Record(partition=partition, position=position, what=what, customer_id=subject, data=data)
        if kind not in _KINDS:
            raise StoreCorrupt(f"The {place} is of the unknown kind {kind!r}; only the sidecar may write there.")
        return _line(partition, position, _KINDS[kind], subject, values)
    except KeyError as error:
        raise StoreCorrupt(f"The {place} has no usable {error}; only the sidecar may write there.") from error
    except (ValueError, IndexError, OverflowError, TypeError, struct.error, msgspec.MsgspecError) as error:
        raise StoreCorrupt(f"The {place} is none of ours: {error}; only the sidecar may write there.") from error


def _line(partition: int, position: Position, kind: Kind, subject: str, values: dict[bytes, bytes]) -> Line:
    customer_id, unit = subject.split(" ")
    seq, *totals = map(_whole, IMAGE.unpack(values[b"after"]))
    charged = uncollected = 0
    if b"numbers" in values:
        _, charged, _, uncollected = map(_whole, _NUMBERS.unpack(values[b"numbers"]))
    granted, scheduled, available, held, spent, expired, voided, owed = totals
    return Line(
        partition=partition,
        position=position,
        kind=kind,
        customer_id=customer_id,
        unit=unit,
        seq=seq,
        after=Totals(
            granted=granted,
            scheduled=scheduled,
            available=available,
            held=held,
            spent=spent,
            expired=expired,
            voided=voided,
            owed=owed,
        ),
        moves=tuple(
            Move(_MOVED[what], block, _whole(amount)) for what, block, amount in _MOVE.iter_unpack(values[b"moves"])
        ),
        block=block_image(values[b"block"]) if kind in _WITH_BLOCK else None,
        grant=_terms.decode(values[b"terms"]) if kind in _WITH_TERMS else None,
        hold=None if kind in _WITHOUT_HOLD else _story(kind, values, customer_id, unit),
        charged=charged,
        uncollected=uncollected,
        counted=counted_of(values.get(b"counters", b"")) + counted_of(values.get(b"caps", b"")),
        usage=values.get(b"usage", b"").decode(),
        source=values.get(b"source", b"").decode(),
        reason=values.get(b"reason", b"").decode(),
        detail=_detail.decode(values[b"detail"]) if b"detail" in values else {},
    )


def _story(kind: Kind, values: dict[bytes, bytes], customer_id: str, unit: str) -> HoldStory:
    """The hold that is settled; of a refund, the one whose charge goes back; of a transfer, its id."""
    if kind in _TOLD:
        return _told.decode(values[b"story"])
    if kind is Kind.TRANSFER_IN:
        return transfer_story(_terms.decode(values[b"terms"]).transfer or "", customer_id)
    return _hold(values[b"hold"], unit)


def block_image(packed: bytes) -> BlockImage:
    """A block's entry in its account. Raises struct.error, KeyError, ValueError or OverflowError for what is none."""
    number, left, held, ends_at, _, state, flags, priority, _, _, starts_at, created_at, granted, lapsed = (
        BLOCK.unpack(packed)
    )
    queued = STATES[state] is BlockState.QUEUED
    return BlockImage(
        number=number,
        state=STATES[state].value,
        priority=priority,
        paid=bool(flags & PAID),
        granted=_whole(granted),
        available=_whole(left),
        held=_whole(held),
        lapsed=_whole(lapsed),
        created_at_ms=_whole(created_at),
        starts_at_ms=None if queued else _whole(starts_at),
        # While it is queued, this is how long it will last.
        expires_at_ms=None if queued or ends_at == NEVER_MS else _whole(ends_at),
    )


def _hold(packed: bytes, unit: str) -> HoldStory:
    time_ms, state, charged, _, count = _HOLD.unpack_from(packed)
    text_at = _HOLD.size + count * _SLICE.size
    text = hold_text(packed[text_at:])
    part = 1 + [each for each, _ in text.parts].index(unit)
    slices = _SLICE.iter_unpack(packed[_HOLD.size : text_at])
    deadline_ms = _whole(time_ms) - (_LATE_KEPT_MS if state == _OVERDUE else 0)
    return HoldStory(
        reservation_id=text.reservation_id,
        customer_id=text.customer_id,
        feature=text.feature,
        rule=text.rule,
        rules_version=text.rules_version,
        held=sum(_whole(amount) for of_part, _, amount in slices if of_part == part),
        reserved_at_ms=deadline_ms - text.ttl_ms,
        charged_before=_whole(charged),
        note=note_of(text.note),
    )


def _whole(value: float) -> int:
    number = int(value)
    if number != value or not 0 <= number <= MAX_AMOUNT:
        raise ValueError(f"{value!r} is no whole number from 0 to {MAX_AMOUNT}")
    return number
