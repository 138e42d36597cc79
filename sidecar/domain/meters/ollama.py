"""Ollama's own API: chat, generate and embed; a stream is lines of JSON, the last of which has the counts.

Ollama leaves a count out when it is 0, as when all of a prompt was cached. What speaks OpenAI's dialect there is read
by `openai_chat`.
"""

from typing import Any

import msgspec

from sidecar.domain.meters.other_endings import OllamaEnding
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound
from sidecar.domain.meters.text import joined


class _Answer(msgspec.Struct, gc=False):
    """One answer, or one line of a stream."""

    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    error: Any = None

    def reading(self) -> Reading | None:
        """None for a line that is not the last, and for an answer that counts nothing."""
        counted = self.prompt_eval_count is not None or self.eval_count is not None or self.done_reason is not None
        if self.done is False or self.error is not None or not counted:
            return None
        return sound(
            {
                "input_tokens": self.prompt_eval_count or 0,
                "output_tokens": self.eval_count or 0,
                "duration_ns": self.total_duration or 0,
            }
        )


class _Function(msgspec.Struct, gc=False):
    arguments: Any = None


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    thinking: Any = None
    tool_calls: list[_Call] | None = None


class _Written(msgspec.Struct, gc=False):
    message: _Message | None = None
    response: Any = None
    thinking: Any = None


_answer = msgspec.json.Decoder(_Answer)
_written = msgspec.json.Decoder(_Written)


def read_json(body: bytes) -> Reading | None:
    answer = decoded(_answer, body)
    return answer.reading() if answer is not None else None


class Stream(Silence):
    """The line that says that it is done is the last word."""

    def read(self, data: bytes) -> None:
        answer = decoded(_answer, data)
        if answer is None:
            return
        self.failed = self.failed or answer.error is not None
        reading = answer.reading() if answer.done else None
        if reading is not None:
            self.usage = reading
            self.seen = self.final = True


def text_of(data: bytes) -> str | None:
    """Text, thoughts and the arguments of calls."""
    written = decoded(_written, data)
    if written is None:
        return None
    texts: list[Any] = [written.response, written.thinking]
    if written.message is not None:
        texts += (written.message.content, written.message.thinking)
        texts += (call.function and call.function.arguments for call in written.message.tool_calls or ())
    return joined(texts)


READER = Reader(
    meters=("input_tokens", "output_tokens", "duration_ns"),
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "request.options.num_predict or 1024",
        "duration_ns": "60000000000",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(b'_count"', b'"done_reason"', b'"error"'),
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    ending=OllamaEnding,
)
