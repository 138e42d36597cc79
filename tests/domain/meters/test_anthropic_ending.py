"""How a stream of Anthropic's messages ends."""

import json
from typing import Any

import pytest

from sidecar.domain.meters.anthropic_ending import MessageEnding
from sidecar.domain.meters.events import EventBuffer, data_of, type_of
from tests.domain.meters.golden import event, message_stream

USAGE = {"input_tokens": 12, "output_tokens": 34}


def block(kind: str, index: int) -> bytes:
    return event(
        json.dumps({"type": f"content_block_{kind}", "index": index}).encode(), b"content_block_" + kind.encode()
    )


def ends(ending: MessageEnding, refused: bytes = b"") -> list[Any]:
    told = []
    for each in EventBuffer().add(ending.last(refused, USAGE, "rsv_1")):
        told.append(json.loads(data_of(each)))
        assert type_of(each).decode() == told[-1]["type"]
    return told


@pytest.mark.parametrize("at_once", [True, False])
def test_open_blocks_are_closed(at_once: bool) -> None:
    start, *_ = EventBuffer().add(message_stream())
    events = [start, block("start", 0), block("delta", 0), block("stop", 0), block("start", 1), block("delta", 1)]
    ending = MessageEnding()
    for each in [b"".join(events)] if at_once else events:
        ending.pass_on(each)
    assert ends(ending) == [
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"output_tokens": 34},
        },
        {"type": "message_stop"},
    ]


def test_a_message_that_has_not_begun_begins() -> None:
    start, *_ = EventBuffer().add(message_stream())
    told = ends(MessageEnding(), start)
    assert [each["type"] for each in told] == ["message_start", "message_delta", "message_stop"]


def test_what_is_no_message_is_an_error() -> None:
    (told,) = EventBuffer().add(MessageEnding().last(b": hello\n\n", USAGE, "rsv_1"))
    assert type_of(told) == b"error"
