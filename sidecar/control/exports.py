"""Ledger entries as files: NDJSON with all there is, CSV for spreadsheets. Written as they are read, never whole."""

import csv as csv_format
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

import msgspec

from sidecar.control.endpoint import Stream
from sidecar.control.history_schema import EntryView
from sidecar.domain.amounts import Unit
from sidecar.domain.history import Entry

CHUNK_BYTES = 65_536
MEDIA_TYPES = ("application/x-ndjson", "text/csv; charset=utf-8")

_COLUMNS = (
    *("entry_id", "event_time", "recorded_at", "type", "customer_id", "unit", "scale", "seq"),
    *("delta", "owed_delta", "balance_after", "available_after", "held_after", "owed_after"),
    *("charged", "owed", "uncollected", "held", "block_id", "reservation_id", "asked_by", "feature", "rule"),
    *("model", "usage", "source", "reason", "actor_id", "on_behalf_of", "actor_reason", "hash", "rules_version"),
    "counted",
)
_COUNTS = ("charged", "owed", "uncollected", "held")
"""What an entry leaves out where it is 0."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would compute rather than show."""


def ndjson(entries: AsyncIterator[Entry], units: Mapping[str, Unit]) -> Stream:
    """One entry in each line, as the ledger shows it."""
    encode = msgspec.json.Encoder().encode

    def line(entry: Entry) -> bytes:
        return encode(EntryView.of(entry, units.get(entry.unit))) + b"\n"

    return Stream(MEDIA_TYPES[0], _chunks(entries, b"", line))


def csv(entries: AsyncIterator[Entry], units: Mapping[str, Unit]) -> Stream:
    """One entry in each row (RFC 4180), the first row being the titles.

    Amounts are base units, of which `scale` says the decimal places. Text that a spreadsheet would take for a formula
    starts with an apostrophe.
    """

    def row(entry: Entry) -> bytes:
        unit = units.get(entry.unit)
        return _row(_cells(EntryView.of(entry, unit), unit))

    return Stream(MEDIA_TYPES[1], _chunks(entries, _row(dict(zip(_COLUMNS, _COLUMNS, strict=True))), row))


async def _chunks(
    entries: AsyncIterator[Entry], first: bytes, line: Callable[[Entry], bytes]
) -> AsyncGenerator[bytes, None]:
    chunk = bytearray(first)
    async for entry in entries:
        chunk += line(entry)
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def _cells(view: EntryView, unit: Unit | None) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(view)
    actor = view.actor or {}
    return (
        dict.fromkeys(_COUNTS, 0)
        | fields
        | {
            "scale": "" if unit is None else unit.scale,
            "available_after": view.after.available,
            "held_after": view.after.held,
            "owed_after": view.after.owed,
            "actor_id": actor.get("actor_id", ""),
            "on_behalf_of": actor.get("on_behalf_of", ""),
            "actor_reason": actor.get("reason", ""),
            "counted": " ".join(
                f"{each.counter}@{each.period}+{each.units}={each.position}" for each in view.counted
            ),
        }
    )


def _row(cells: Mapping[str, object]) -> bytes:
    text = io.StringIO()
    csv_format.writer(text).writerow([_cell(cells.get(name, "")) for name in _COLUMNS])
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
