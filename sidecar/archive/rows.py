"""From a journal line to the rows of the ledger: the entry with its link in the account's chain, and what it adds up.

Pure: the same line after the same entry always gives the same rows, so whoever has the rows can check them.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from sidecar.archive.schema import CountRow, EntryRow, PostingRow
from sidecar.domain.counters import Counted
from sidecar.domain.history import LegKind
from sidecar.domain.journal import HoldStory, Kind, Line, Move, Moved, entry_id
from sidecar.domain.usage_words import unquoted

FIRST_HASH = bytes(32)
"""What the first entry of an account follows."""

_LEGS: Final = MappingProxyType(
    {
        Moved.GRANTED: (LegKind.ISSUED, LegKind.BALANCE),
        Moved.SPENT: (LegKind.BALANCE, LegKind.CONSUMED),
        Moved.EXPIRED: (LegKind.BALANCE, LegKind.EXPIRED),
        Moved.VOIDED: (LegKind.BALANCE, LegKind.VOIDED),
        Moved.OWED: (LegKind.OWED, LegKind.CONSUMED),
        Moved.REPAID: (LegKind.BALANCE, LegKind.OWED),
        Moved.RESTORED: (LegKind.CONSUMED, LegKind.BALANCE),
    }
)
"""From which account to which an amount moves."""

_LEGS_OF: Final = {
    (Kind.TRANSFER_OUT, Moved.SPENT): (LegKind.BALANCE, LegKind.SENT),
    (Kind.TRANSFER_OUT, Moved.OWED): (LegKind.OWED, LegKind.SENT),
    (Kind.TRANSFER_IN, Moved.GRANTED): (LegKind.RECEIVED, LegKind.BALANCE),
}
"""The same, where what happened says more than the move."""

_SIGNS: Final = MappingProxyType(
    {
        Moved.GRANTED: (1, 0),
        Moved.SPENT: (-1, 0),
        Moved.EXPIRED: (-1, 0),
        Moved.VOIDED: (-1, 0),
        Moved.OWED: (0, 1),
        Moved.REPAID: (-1, -1),
        Moved.RESTORED: (1, 0),
    }
)
"""What a move does to the balance, and to the debt."""

_NO_HOLD = HoldStory(
    reservation_id="", customer_id="", feature="", rule="", held=0, reserved_at_ms=0, charged_before=0
)
_MODELS = frozenset({"model", "request.model", "path.model"})
"""The words of a usage text that name a model: as reservations say it, and what a price was chosen by."""
_FIRST_COLUMNS = EntryRow.__struct_fields__.index("hash") + 1
"""Those of the first schema, which end with the two hashes."""
_LATER = EntryRow.__struct_fields__[_FIRST_COLUMNS:]
_NUMBER = re.compile(r"\d{1,16}(\.\d{1,18})?\Z", re.ASCII)
_encode = msgspec.json.Encoder().encode
_counted = msgspec.json.Decoder(tuple[Counted, ...])


def entry_row(line: Line, prev_hash: bytes) -> EntryRow:
    """The entry of `line`; `prev_hash` is that of the entry before it in its account."""
    hold, after = line.hold or _NO_HOLD, line.after
    ends_at_ms = line.block.expires_at_ms if line.block is not None and line.kind is Kind.EXPIRY else None
    delta = owed_delta = owed = 0
    for move in line.moves:
        balance_sign, debt_sign = _SIGNS[move.what]
        delta += balance_sign * move.amount
        owed_delta += debt_sign * move.amount
        owed += move.amount if move.what is Moved.OWED else 0
    event_at_ms = ends_at_ms or hold.note.event_at_ms or line.position.ms
    usage, detail = _storable(line.usage), line.detail | hold.note.detail
    model, meters = _readings(usage)
    row = EntryRow(
        entry_id=entry_id(line.partition, line.position),
        partition=line.partition,
        customer_id=line.customer_id,
        unit=line.unit,
        seq=line.seq,
        type=line.kind.value,
        recorded_at_ms=line.position.ms,
        event_at_ms=event_at_ms,
        delta=delta,
        owed_delta=owed_delta,
        after_granted=after.granted,
        after_scheduled=after.scheduled,
        after_available=after.available,
        after_held=after.held,
        after_spent=after.spent,
        after_expired=after.expired,
        after_voided=after.voided,
        after_owed=after.owed,
        moves=_encode([(move.what, move.block, move.amount) for move in line.moves]).decode(),
        block="" if line.block is None else _encode(line.block).decode(),
        terms="" if line.grant is None else _encode(line.grant).decode(),
        reservation_id=_storable(hold.reservation_id),
        asker_id=hold.customer_id,
        feature=_storable(hold.feature),
        rule=_storable(hold.rule),
        reserved_at_ms=hold.reserved_at_ms,
        charged_before=hold.charged_before,
        held=hold.held,
        charged=line.charged,
        owed=owed,
        uncollected=line.uncollected,
        usage=usage,
        model=model,
        meters=meters,
        source=_storable(line.source),
        reason=_storable(line.reason),
        detail=_encode(detail).decode() if detail else "",
        prev_hash=prev_hash,
        hash=b"",
        rules_version=_storable(hold.rules_version),
        counted=_encode(line.counted).decode() if line.counted else "",
    )
    return msgspec.structs.replace(row, hash=row_hash(row))


def row_hash(row: EntryRow) -> bytes:
    """SHA-256 over the hash before and every other column, as a JSON array in the order of the columns.

    Columns that came later stand after the array, as an object, if they are not empty: the entries of before keep
    their hashes.
    """
    values = msgspec.structs.astuple(row)
    later = {name: value for name, value in zip(_LATER, values[_FIRST_COLUMNS:], strict=True) if value}
    told = _encode(values[: _FIRST_COLUMNS - 2]) + (_encode(later) if later else b"")
    return hashlib.sha256(row.prev_hash + told).digest()


def posting_rows(row: EntryRow, moves: Sequence[Move]) -> list[PostingRow]:
    """The legs of an entry, two for each move; together they are zero."""
    legs: list[PostingRow] = []
    for move in moves:
        giver, taker = _LEGS_OF.get((Kind(row.type), move.what)) or _LEGS[move.what]
        for account, amount in ((giver, -move.amount), (taker, move.amount)):
            legs.append(
                PostingRow(
                    entry_id=row.entry_id,
                    leg=len(legs),
                    account=account.value,
                    customer_id=row.customer_id,
                    unit=row.unit,
                    block=move.block if account is LegKind.BALANCE else 0,
                    amount=amount,
                )
            )
    return legs


def count_rows(row: EntryRow) -> list[CountRow]:
    """What an entry has counted, by the names of the counters."""
    units: Counter[str] = Counter()
    for counted in counted_of(row):
        units[counted.key] += counted.units
    return [
        CountRow(entry_id=row.entry_id, counter=key, customer_id=row.customer_id, units=units[key])
        for key in sorted(units)
    ]


def counted_of(row: EntryRow) -> tuple[Counted, ...]:
    """How an entry moved counters."""
    return _counted.decode(row.counted) if row.counted else ()


def moves_of(row: EntryRow) -> tuple[Move, ...]:
    """The moves that an entry keeps."""
    return tuple(Move(Moved(what), block, amount) for what, block, amount in msgspec.json.decode(row.moves))


def _readings(usage: str) -> tuple[str, str]:
    """The model that `usage` names, and its numbers by meter as JSON."""
    model, meters = "", dict[str, msgspec.Raw]()
    for reading in usage.split():
        meter, _, value = reading.partition("=")
        if meter in _MODELS:
            model = model or (value if meter == "model" else _storable(unquoted(value) or ""))
        elif _NUMBER.match(value):
            whole, dot, fraction = value.partition(".")
            meters[meter] = msgspec.Raw(f"{int(whole)}{dot}{fraction}".encode())
    return model, _encode(meters).decode()


def _storable(text: str) -> str:
    """PostgreSQL takes any text but this one character."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
