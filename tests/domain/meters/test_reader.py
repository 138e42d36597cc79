"""The contract of every named reader, on golden answers: JSON or events, the same reading."""

from collections.abc import Callable

import pytest

from sidecar.domain.meters.events import EventBuffer, data_of
from sidecar.domain.meters.named import READERS
from tests.domain.meters import golden

STREAMS = [
    pytest.param(
        "openai.chat", lambda newline: golden.chat_stream(newline, asked=True), golden.CHAT_USAGE, id="chat"
    ),
    pytest.param("openai.responses", golden.response_stream, golden.RESPONSE_USAGE, id="responses"),
    pytest.param("anthropic.messages", golden.message_stream, golden.MESSAGE_USAGE, id="messages"),
]


@pytest.mark.parametrize(
    ("name", "body", "usage"),
    [
        ("openai.chat", golden.CHAT_JSON, golden.CHAT_USAGE),
        ("openai.responses", golden.RESPONSE_JSON, golden.RESPONSE_USAGE),
        ("openai.embeddings", golden.EMBEDDINGS_JSON, golden.EMBEDDINGS_USAGE),
        ("anthropic.messages", golden.MESSAGE_JSON, golden.MESSAGE_USAGE),
    ],
)
def test_json(name: str, body: bytes, usage: dict[str, int]) -> None:
    assert READERS[name].read_json(body) == usage
    assert READERS[name].read_json(body[:-1]) is None


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize(("name", "stream", "usage"), STREAMS)
def test_events_that_hold_a_needle_are_all_that_matters(
    name: str, stream: Callable[[bytes], bytes], usage: dict[str, int], newline: bytes
) -> None:
    reader = READERS[name]
    reading = reader.open_stream()
    for event in EventBuffer().add(stream(newline)):
        if any(needle in event for needle in reader.needles):
            reading.read(data_of(event))
    assert (reading.usage, reading.seen, reading.final, reading.failed) == (usage, True, True, False)
