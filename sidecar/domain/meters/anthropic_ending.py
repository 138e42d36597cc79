"""The end of a stream of Anthropic's messages: open blocks are closed, then the message, by ``max_tokens``."""

from typing import Any

import msgspec

from sidecar.domain.meters.endings import NOTE, error_event, event, json, tokens
from sidecar.domain.meters.events import data_of, events_in
from sidecar.domain.meters.reader import decoded
from sidecar.domain.price import Usage

_START = b"message_start"
_BLOCK_EDGE = b"content_block_st"
"""What the events that start and stop a block have in their names, and those in between have not."""


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0


_event = msgspec.json.Decoder(_Event)


class MessageEnding:
    """Knows which blocks are open."""

    framing = "events"

    def __init__(self) -> None:
        self._started = False
        self._open: set[int] = set()

    def pass_on(self, events: bytes) -> None:
        if not self._started:
            self._started = events.find(_START) >= 0
        if events.find(_BLOCK_EDGE) >= 0:
            for each in events_in(events):
                self._look(data_of(each))

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:
        opening = b""
        if not self._started:
            if refused.find(_START) < 0:
                return error_event(reservation_id)
            opening = refused
        ends = last_words(sorted(self._open), usage)
        return opening + NOTE + b"".join(event(json(each), each["type"]) for each in ends)

    def _look(self, data: bytes) -> None:
        found = decoded(_event, data)
        if found is not None and found.type == "content_block_start":
            self._open.add(found.index)
        elif found is not None and found.type == "content_block_stop":
            self._open.discard(found.index)


def last_words(open_blocks: list[int], usage: Usage) -> list[dict[str, Any]]:
    """The events that end a message."""
    return [
        *({"type": "content_block_stop", "index": index} for index in open_blocks),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
            "usage": {"output_tokens": tokens(usage)[1]},
        },
        {"type": "message_stop"},
    ]
