"""Anthropic messages: classes of input stand beside each other, and a stream reports usage in two places.

``message_start`` has the input, ``message_delta`` the cumulative output; the last value of each counts. A cache write
that lasts an hour is inside ``cache_creation_input_tokens`` and costs more: it is a meter of its own here.
"""

from typing import Any

import msgspec

from sidecar.domain.meters.anthropic_ending import MessageEnding
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, over, sound
from sidecar.domain.meters.text import TEXT, PlainText, joined


class _CacheCreation(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_creation: _CacheCreation | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None

    def reading(self) -> Reading | None:
        """Each token in one meter; None without input or output, or when the numbers contradict each other."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        written = self.cache_creation_input_tokens or 0
        hour = (self.cache_creation and self.cache_creation.ephemeral_1h_input_tokens) or 0
        return sound(
            {
                "input_tokens": self.input_tokens,
                "cache_creation_input_tokens": written - hour,
                "cache_creation_1h_input_tokens": hour,
                "cache_read_input_tokens": self.cache_read_input_tokens or 0,
                "output_tokens": self.output_tokens,
            }
        )


class _Message(msgspec.Struct, gc=False):
    usage: _Usage


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    message: _Message | None = None
    usage: _Usage | None = None


class _Block(msgspec.Struct, gc=False):
    """A block of content, or what is added to one."""

    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    input: Any = None


class _Written(msgspec.Struct, gc=False):
    content: list[_Block] | None = None
    content_block: _Block | None = None
    delta: _Block | None = None


_written = msgspec.json.Decoder(_Written)
_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)


def read_json(body: bytes) -> Reading | None:
    message = decoded(_message, body)
    return message.usage.reading() if message is not None else None


class Stream(Silence):
    """Complete only when a ``message_delta`` with usage or a ``message_stop`` came: before, output is a guess."""

    def __init__(self) -> None:
        super().__init__()
        self._latest = _Usage()
        self._ended = False

    def read(self, data: bytes) -> None:
        event = decoded(_event, data)
        if event is None:
            return
        if event.type == "error":
            self.failed = True
        usage = event.message.usage if event.message is not None else event.usage
        self._ended = (
            self._ended or event.type == "message_stop" or (event.type == "message_delta" and usage is not None)
        )
        if usage is not None:
            self._latest = over(usage, self._latest)
        reading = self._latest.reading()
        self.usage = reading or {}
        self.seen = self.final = self._ended and reading is not None


def text_of(data: bytes) -> str | None:
    """Text, thoughts and the input of tools; the signature of a thought is nothing that was written."""
    written = decoded(_written, data)
    if written is None:
        return None
    blocks = (*(written.content or ()), written.content_block, written.delta)
    return joined(
        part
        for block in blocks
        if block is not None
        for part in (block.text, block.thinking, block.partial_json, block.input)
    )


READER = Reader(
    meters=(
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_creation_1h_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
    ),
    falls_back={
        "cache_creation_input_tokens": "input_tokens",
        "cache_creation_1h_input_tokens": "cache_creation_input_tokens",
        "cache_read_input_tokens": "input_tokens",
    },
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "request.max_tokens or 1024",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(b'"usage"', b"message_stop", b'"error"'),
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    plain_text=PlainText(
        rb'"delta":\{"type":"(?:text|thinking|input_json)_delta","(?:text|thinking|partial_json)":"%b"\}' % TEXT,
        b'"delta":',
    ),
    ending=MessageEnding,
)
