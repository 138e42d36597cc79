"""What `usage:` means; what is wrong with it is in ``cases``."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_usage import read_usage
from sidecar.config.source import parse
from sidecar.domain.body_fields import BodyFields
from sidecar.domain.forms import PartCounts, PartMeter
from sidecar.domain.match import PathPattern
from sidecar.domain.metering import Measure, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.request_facts import RequestFacts

NO_FIELDS: dict[bytes, bytes] = {}


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


@pytest.mark.parametrize("name", READERS)
def test_a_reader_by_name(name: str) -> None:
    assert read_usage(at(name)) == Meters(reader=READERS[name])
    assert read_usage(at(f"{{reader: {name}}}")) == Meters(reader=READERS[name])


def test_meters_by_source() -> None:
    meters = read_usage(
        at(
            "{t: {json: /a/b, sse: {pointer: /c}}, h: {header: X-H}, "
            "u: {bytes: request}, d: {bytes: response}, s: {duration: ms}, f: {status: [2xx, 404]}}"
        )
    )
    assert meters.names == ("t", "h", "u", "d", "s", "f")
    assert meters.headers == (("h", b"x-h"),)
    assert meters.measures == (
        ("u", Measure.REQUEST_BYTES),
        ("d", Measure.RESPONSE_BYTES),
        ("s", Measure.DURATION_MS),
    )
    assert meters.statuses == (("f", frozenset({*range(200, 300), 404})),)
    assert meters.reader is not None
    assert meters.reader.read_json(b'{"a": {"b": 3}}') == {"t": 3}


def test_a_header_with_a_trailer_to_fall_back_on_is_one_meter() -> None:
    meters = read_usage(at("{cost: {header: X-Cost, trailer: X-Late}, ms: {trailer: x-ms}}"))
    assert meters.headers == (("cost", b"x-cost"),)
    assert meters.trailers == (("cost", b"x-late"), ("ms", b"x-ms"))
    assert meters.names == ("cost", "ms")


def test_what_counts_of_a_stream() -> None:
    reader = read_usage(at("{n: {sse: {pointer: /n, mode: sum, event: x}, ndjson: {pointer: /m, mode: max}}}")).reader
    assert reader is not None
    assert reader.open_lines is not None
    events, lines = reader.open_stream(), reader.open_lines()
    for number in (2, 5, 1):
        events.read(b'event: x\ndata: {"n": %d}\n\n' % number)
        events.read(b'data: {"n": %d}\n\n' % number)
        lines.read(b'{"m": %d}' % number)
    assert (events.usage, lines.usage) == ({"n": 8}, {"n": 5})


def test_what_the_request_tells() -> None:
    usage = (
        "{images: {request: options.n, default: 1.5}, letters: {characters: prompt}, "
        "limit: {query: limit, default: 20}, minutes: {path: minutes}}"
    )
    cursor = at(usage)
    meters = read_usage(cursor, PathPattern.parse("/rooms/{minutes}"))
    assert not cursor.problems
    body = b'{"options": {"n": 4}, "prompt": "Hello"}'
    fields = BodyFields({told.body_field for _, told in meters.requests if told.body_field}, ())
    facts = RequestFacts(NO_FIELDS, b"/rooms/90", b"limit=7", body)
    readings = {meter: told.read(fields.read(body), facts) for meter, told in meters.requests}
    assert readings == {"images": 4, "letters": 5, "limit": 7, "minutes": 90}


def test_parts_of_a_form() -> None:
    meters = read_usage(at("{size: {part: file}, images: {parts: [image, 'image[]']}}"))
    assert meters.parts == (
        ("size", PartMeter(("file",), PartCounts.BYTES)),
        ("images", PartMeter(("image", "image[]"), PartCounts.PARTS)),
    )
    assert meters.names == ("size", "images")


def test_a_reader_and_meters_of_ones_own() -> None:
    meters = read_usage(at("{reader: openai.chat, gpu_ms: {header: x-gpu-ms}}"))
    assert meters.reader is READERS["openai.chat"]
    assert meters.names == (*READERS["openai.chat"].meters, "gpu_ms")


def test_a_meter_may_be_called_reader() -> None:
    assert read_usage(at("{reader: {header: x-pages}}")).headers == (("reader", b"x-pages"),)
