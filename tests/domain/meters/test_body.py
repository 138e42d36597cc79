import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.meters.body import JSON_MAX_BYTES, Body, CodedBody, EventsBody, JsonBody, UnreadBody
from sidecar.domain.meters.codings import Inflater
from sidecar.domain.meters.events import EVENT_MAX_BYTES
from sidecar.domain.meters.named import READERS
from tests.domain.meters import golden
from tests.domain.meters.corpus import EVENT_STREAMS, Events

CHAT = READERS["openai.chat"]


def feed(body: Body, data: bytes, size: int) -> None:
    for at in range(0, len(data), size):
        piece = data[at : at + size]
        assert body.feed(piece) is piece
    assert body.flush() == b""


def coded(body: JsonBody | EventsBody, inflater: Inflater | None) -> Body:
    return CodedBody(body, inflater) if inflater is not None else body


@pytest.mark.parametrize("readable", [True, False])
def test_an_unread_body_passes(readable: bool) -> None:
    body = UnreadBody(readable=readable)
    feed(body, b"abc", 1)
    assert body.result(whole=True) == ({}, readable)


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_json_in_pieces(size: int) -> None:
    body = JsonBody(CHAT)
    feed(body, golden.CHAT_JSON, size)
    assert body.result(whole=False) == (golden.CHAT_USAGE, True)


def test_json_in_a_coding() -> None:
    body = CodedBody(JsonBody(CHAT), Inflater(gzip=True))
    feed(body, gzip.compress(golden.CHAT_JSON), 10)
    assert body.result(whole=True) == (golden.CHAT_USAGE, True)


@pytest.mark.parametrize(
    ("data", "inflater"),
    [
        (b'{"usage":{}}' + b" " * JSON_MAX_BYTES, None),
        (gzip.compress(b" " * (JSON_MAX_BYTES + 1)), Inflater(gzip=True)),
        (b"not gzip, whatever the head says", Inflater(gzip=True)),
        (gzip.compress(golden.CHAT_JSON)[:-20], Inflater(gzip=True)),
    ],
    ids=["too large", "too large when decoded", "broken coding", "cut"],
)
def test_json_that_cannot_be_read_passes_all_the_same(data: bytes, inflater: Inflater | None) -> None:
    body = coded(JsonBody(CHAT), inflater)
    feed(body, data, 65_536)
    assert body.result(whole=True) == ({}, False)


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("events", EVENT_STREAMS, ids=lambda events: events.name)
@given(at=st.lists(st.integers(0, 1500), max_size=6))
def test_any_split_of_a_stream_reads_the_same(events: Events, newline: bytes, at: list[int]) -> None:
    reader, data = READERS[events.reader], events.stream(newline)
    body = EventsBody(reader)
    bounds = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    for start, end in pairwise(bounds):
        piece = data[start:end]
        assert body.feed(piece) is piece
    assert body.result(whole=True) == (events.usage, True)
    assert not body.failed


@pytest.mark.parametrize("size", [1, 100, 10_000])
@pytest.mark.parametrize("events", EVENT_STREAMS, ids=lambda events: events.name)
def test_a_stream_in_a_coding(events: Events, size: int) -> None:
    body = CodedBody(EventsBody(READERS[events.reader]), Inflater(gzip=False))
    feed(body, zlib.compress(events.stream(b"\n")), size)
    assert body.result(whole=True) == (events.usage, True)


def test_the_last_event_needs_no_blank_line() -> None:
    body = EventsBody(CHAT)
    feed(body, golden.chat_stream(asked=True, done=False).rstrip(b"\n"), 100)
    assert body.result(whole=True) == (golden.CHAT_USAGE, True)


def test_data_in_several_lines_is_one_text() -> None:
    body = EventsBody(CHAT)
    feed(body, b'data: {"choices": [],\ndata: "usage":\ndata: {"prompt_tokens": 3, "completion_tokens": 4}}\n\n', 5)
    assert body.result(whole=True) == ({"input_tokens": 3, "cached_input_tokens": 0, "output_tokens": 4}, True)


@pytest.mark.parametrize(
    ("data", "inflater"),
    [(b'data: {"usage": "' + b"x" * (EVENT_MAX_BYTES + 65_536), None), (b"not gzip at all", Inflater(gzip=True))],
    ids=["event too large", "broken coding"],
)
def test_a_stream_that_cannot_be_read_passes_all_the_same(data: bytes, inflater: Inflater | None) -> None:
    body = coded(EventsBody(CHAT), inflater)
    feed(body, data + b"\n\n" + golden.chat_stream(asked=True), 65_536)
    assert body.result(whole=True) == ({}, False)


def test_usage_seen_before_the_reading_broke_is_not_trusted_unless_it_was_final() -> None:
    body = EventsBody(CHAT)
    feed(body, b'data: {"choices": [1], "usage": {"prompt_tokens": 1}}\n\n', 1000)
    feed(body, b"x" * (EVENT_MAX_BYTES + 1), 1_000_000)
    assert body.result(whole=True)[1] is False
