"""Cohere chat, version 2: what Cohere bills, which is less than what its models saw.

A stream ends with ``message-end``, which has the usage of all of it.
"""

from typing import Any

import msgspec

from sidecar.domain.meters.other_endings import CohereEnding
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound
from sidecar.domain.meters.text import joined


class _Billed(msgspec.Struct, gc=False):
    input_tokens: int | float | None = None
    output_tokens: int | float | None = None
    search_units: int | float | None = None

    def reading(self) -> Reading | None:
        """None without input or output, or for numbers that nothing can be billed by."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        reading: Reading = {}
        for meter, read in (
            ("input_tokens", self.input_tokens),
            ("output_tokens", self.output_tokens),
            ("search_units", self.search_units or 0),
        ):
            # The API's numbers are doubles, its counts are whole.
            if isinstance(read, float) and not read.is_integer():
                return None
            reading[meter] = int(read)
        return sound(reading)


class _Usage(msgspec.Struct, gc=False):
    billed_units: _Billed


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage


class _Delta(msgspec.Struct, gc=False):
    usage: _Usage | None = None
    finish_reason: str | None = None
    error: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: _Delta | None = None


class _Part(msgspec.Struct, gc=False):
    text: Any = None
    thinking: Any = None


class _Function(msgspec.Struct, gc=False):
    arguments: Any = None


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    """A whole message has lists where a stream has one of them at a time."""

    content: list[_Part] | _Part | None = None
    tool_plan: Any = None
    tool_calls: list[_Call] | _Call | None = None


class _Writing(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Written(msgspec.Struct, gc=False):
    message: _Message | None = None
    delta: _Writing | None = None


_written = msgspec.json.Decoder(_Written)
_answer = msgspec.json.Decoder(_Answer)
_event = msgspec.json.Decoder(_Event)


def read_json(body: bytes) -> Reading | None:
    answer = decoded(_answer, body)
    return answer.usage.billed_units.reading() if answer is not None else None


class Stream(Silence):
    """``message-end`` is the last word."""

    def read(self, data: bytes) -> None:
        event = decoded(_event, data)
        if event is None or event.type != "message-end" or event.delta is None:
            return
        delta = event.delta
        reading = delta.usage.billed_units.reading() if delta.usage is not None else None
        self.usage = reading or {}
        self.seen = self.final = reading is not None
        self.failed = delta.error is not None or delta.finish_reason == "ERROR"


def text_of(data: bytes) -> str | None:
    """Text, thoughts, plans, and the arguments of calls."""
    written = decoded(_written, data)
    if written is None:
        return None
    message = written.message or (written.delta.message if written.delta is not None else None)
    if message is None:
        return ""
    content, calls = message.content or (), message.tool_calls or ()
    texts: list[Any] = [message.tool_plan]
    for part in (content,) if isinstance(content, _Part) else content:
        texts += (part.text, part.thinking)
    for call in (calls,) if isinstance(calls, _Call) else calls:
        texts.append(call.function and call.function.arguments)
    return joined(texts)


READER = Reader(
    meters=("input_tokens", "output_tokens", "search_units"),
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "request.max_tokens or 1024",
        "search_units": "1",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(b'"message-end"',),
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    ending=CohereEnding,
)
