import csv as csv_format
import io
import json
from collections.abc import AsyncIterator

from sidecar.control import exports
from sidecar.control.endpoint import Stream
from sidecar.domain.amounts import CREDITS
from sidecar.domain.counters import Counted
from sidecar.domain.history import Entry
from sidecar.domain.journal import Kind, Totals

UNITS = {CREDITS.name: CREDITS}


def entry(number: int = 1, **fields: object) -> Entry:
    known: dict[str, object] = {
        "entry_id": f"ent_{number}",
        "customer_id": "cus_1",
        "unit": "credits",
        "seq": number,
        "type": Kind.COMMIT,
        "event_at_ms": 1_700_000_000_000,
        "recorded_at_ms": 1_700_000_000_000,
        "delta": -5,
        "owed_delta": 0,
        "after": Totals(granted=10, available=5, spent=5),
    }
    return Entry(**(known | fields))  # type: ignore[arg-type]  # any field, by its name


async def some(*entries: Entry) -> AsyncIterator[Entry]:
    for each in entries:
        yield each


async def chunks(stream: Stream) -> list[bytes]:
    return [chunk async for chunk in stream.chunks]


async def rows(*entries: Entry) -> list[dict[str, str]]:
    text = b"".join(await chunks(exports.csv(some(*entries), UNITS))).decode()
    return list(csv_format.DictReader(io.StringIO(text, newline="")))


async def test_nothing_is_no_line_or_only_the_titles() -> None:
    assert await chunks(exports.ndjson(some(), UNITS)) == []
    (titles,) = await chunks(exports.csv(some(), UNITS))
    assert titles.startswith(b"entry_id,event_time,")
    assert titles.endswith(b"\r\n")


async def test_a_line_is_an_entry_and_a_unit_that_is_gone_has_no_decimals() -> None:
    (chunk,) = await chunks(exports.ndjson(some(entry(), entry(2, unit="old")), UNITS))
    first, second = map(json.loads, chunk.splitlines())
    assert first["display"]["delta"] == "-0.000005"
    assert "display" not in second
    assert [row["scale"] for row in await rows(entry(), entry(2, unit="old"))] == ["6", ""]


async def test_chunks_have_a_size_whatever_the_ledger_has() -> None:
    made = 0

    async def many() -> AsyncIterator[Entry]:
        nonlocal made
        for made in range(1, 5_001):
            yield entry(made)

    stream = exports.ndjson(many(), UNITS)
    first = await anext(stream.chunks)
    assert exports.CHUNK_BYTES <= len(first) < 2 * exports.CHUNK_BYTES
    assert made == len(first.splitlines()) < 1_000
    rest = b"".join([chunk async for chunk in stream.chunks])
    assert len((first + rest).splitlines()) == 5_000


async def test_text_with_everything_stays_in_its_cell() -> None:
    usage = 'model="a,b"\r\nnext\n'
    (row,) = await rows(entry(usage=usage, reason="é", detail={"actor_id": "x", "reason": "y", "on_behalf_of": "z"}))
    assert (row["usage"], row["reason"]) == (usage, "é")
    assert (row["actor_id"], row["on_behalf_of"], row["actor_reason"]) == ("x", "z", "y")


async def test_a_spreadsheet_computes_nothing() -> None:
    bad = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
    shown = await rows(*(entry(number, model=text) for number, text in enumerate(bad)))
    assert [row["model"] for row in shown] == [f"'{text}" for text in bad]
    assert shown[0]["delta"] == "-5"


async def test_what_was_counted_is_one_text() -> None:
    counted = (Counted("ocr/pages@2026-11", 12, 3456), Counted("calls@ever", 1, 7))
    (row,) = await rows(entry(counted=counted))
    assert row["counted"] == "ocr/pages@2026-11+12=3456 calls@ever+1=7"
    (line,) = await chunks(exports.ndjson(some(entry(counted=counted)), UNITS))
    assert json.loads(line)["counted"][0] == {
        "counter": "ocr/pages",
        "period": "2026-11",
        "units": 12,
        "position": 3456,
    }
