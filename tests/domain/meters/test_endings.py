"""Ends of streams, wherever they are cut: whole events, which the stream's own reader takes for an end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sidecar.domain.meters.body import FRAMES, LINES, ending_of, framing_of
from sidecar.domain.meters.endings import ErrorEvent, ErrorLine, ExceptionMessage
from sidecar.domain.meters.events import data_of, type_of
from sidecar.domain.meters.frames import headers_of, payload_of
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.text import DONE
from tests.domain.meters.corpus import STREAMS, Golden

USAGE = {"input_tokens": 12, "cached_input_tokens": 3, "output_tokens": 34}


def cuts() -> Iterator[Any]:
    """Every stream, cut before each of its events."""
    for golden in STREAMS:
        framing = framing_of(golden.head[b"content-type"])
        assert framing is not None
        events = list(framing.open().add(golden.body))
        for count in range(len(events)):
            yield pytest.param(golden, events, count, id=f"{golden.name} {count}")


def ended(golden: Golden, events: list[bytes], count: int) -> list[bytes]:
    """The last events of a stream that is cut before event `count`."""
    framing = framing_of(golden.head[b"content-type"])
    assert framing is not None
    ending = ending_of(READERS[golden.reader], framing)
    for each in events[:count]:
        ending.pass_on(each)
    buffer = framing.open()
    last = list(buffer.add(ending.last(events[count], USAGE, "rsv_1")))
    assert buffer.rest() == b"", "only whole events"
    return last


@pytest.mark.parametrize(("golden", "events", "count"), list(cuts()))
def test_every_stream_has_an_end_everywhere(golden: Golden, events: list[bytes], count: int) -> None:
    last = ended(golden, events, count)
    assert last
    framing = framing_of(golden.head[b"content-type"])
    if framing is FRAMES:
        assert all(json.loads(payload_of(each)) for each in last)
    elif framing is LINES:
        assert json.loads(last[-1])["credit_exhausted"] is True
    else:
        told = [data_of(each) for each in last]
        assert all(data == DONE or json.loads(data) for data in told)
        assert any(b": credit_exhausted\n" in each for each in last)


def test_unknown_apis_end_with_a_problem() -> None:
    event = ErrorEvent().last(b"", {}, "rsv_1")
    assert type_of(event) == b"error"
    for document in (data_of(event), ErrorLine().last(b"", {}, "rsv_1")):
        problem = json.loads(document)["error"]
        assert (problem["code"], problem["status"], problem["instance"]) == ("credit_exhausted", 402, "rsv_1")
    message = ExceptionMessage().last(b"", {}, "rsv_1")
    assert list(FRAMES.open().add(message)) == [message]
    assert headers_of(message)[b":message-type"] == b"exception"
    assert json.loads(payload_of(message))["code"] == "credit_exhausted"


def test_a_dialect_in_another_framing_is_unknown() -> None:
    assert isinstance(ending_of(READERS["ollama"], FRAMES), ExceptionMessage)
    assert isinstance(ending_of(READERS["openai.chat"], LINES), ErrorLine)
    assert isinstance(ending_of(None, LINES), ErrorLine)
