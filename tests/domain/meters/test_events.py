from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.meters.events import EVENT_MAX_BYTES, EventBuffer, EventTooLarge, data_of, type_of


def cut(*pieces: bytes) -> tuple[list[bytes], bytes]:
    buffer = EventBuffer()
    events = [event for piece in pieces for event in buffer.add(piece)]
    return events, buffer.rest()


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_events_end_with_a_blank_line(newline: bytes) -> None:
    one, two = b"data: a" + newline * 2, b"event: x" + newline + b"data: b" + newline * 2
    assert cut(one + two + b"data: c") == ([one, two], b"data: c")


def test_line_ends_may_be_mixed() -> None:
    assert cut(b"a\n\r\nb\r\r\nc\r\n\nd\r\n\r\ne")[0] == [b"a\n\r\n", b"b\r\r\n", b"c\r\n\n", b"d\r\n\r\n"]


def test_a_carriage_return_at_the_end_waits_for_its_line_feed() -> None:
    buffer = EventBuffer()
    assert list(buffer.add(b"a\r\n\r")) == []
    assert list(buffer.add(b"\nb")) == [b"a\r\n\r\n"]
    assert buffer.rest() == b"b"
    assert buffer.rest() == b""


@given(
    st.lists(st.sampled_from([b"\n", b"\r", b"a", b"data", b"\n\n", b"\r\n\r\n"]), max_size=12).map(b"".join),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_any_split_gives_the_same_events(stream: bytes, at: list[int]) -> None:
    bounds = [0, *sorted(min(place, len(stream)) for place in at), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    assert cut(*pieces) == cut(stream)
    events, rest = cut(stream)
    assert b"".join(events) + rest == stream


def test_an_event_has_a_largest_size() -> None:
    buffer = EventBuffer()
    list(buffer.add(b"x" * EVENT_MAX_BYTES))
    with pytest.raises(EventTooLarge):
        list(buffer.add(b"x"))


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\r\n\r\n", b"{}"),
        (b"event: x\ndata: {}\n\n", b"{}"),
        (b"data: {\r\ndata:  1\rdata:}\n\n", b"{\n 1\n}"),
        (b": comment\nid: 1\n\n", b""),
        (b"data:  a \n\n", b" a "),
    ],
)
def test_data(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (b"data: 1\n\n", b"message"),
        (b"event: done\ndata: 1\n\n", b"done"),
        (b"event:done\r\ndata: 1\r\n\r\n", b"done"),
        (b"data: 1\revent: done\r\r", b"done"),
        (b"event: first\nevent: done\ndata: event: other\n\n", b"done"),
        (b"event:\ndata: 1\n\n", b"message"),
        (b"data: event: done\n\n", b"message"),
    ],
)
def test_the_type_of_an_event(event: bytes, kind: bytes) -> None:
    assert type_of(event) == kind
