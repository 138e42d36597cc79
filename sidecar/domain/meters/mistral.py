"""Mistral chat: OpenAI's dialect, except that a stream reports usage unasked, in the chunk that ends the answer."""

from typing import Any

import msgspec

from sidecar.domain.meters.openai_chat import PLAIN_TEXT, text_of
from sidecar.domain.meters.openai_endings import UnaskedUsageEnding
from sidecar.domain.meters.pointers import number
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails | None = None
    prompt_audio_seconds: Any = None

    def reading(self) -> Reading | None:
        """Cached tokens are inside the prompt, seconds of sound beside it; None for a contradiction."""
        cached = (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0
        # A request without sound has null here, or an empty object.
        seconds = number(self.prompt_audio_seconds) if self.prompt_audio_seconds else 0
        if seconds is None:
            return None
        return sound(
            {
                "input_tokens": self.prompt_tokens - cached,
                "cached_input_tokens": cached,
                "input_audio_seconds": seconds,
                "output_tokens": self.completion_tokens,
            }
        )


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    usage: _Usage | None = None
    choices: list[_Choice] | None = None
    error: Any = None


_answer = msgspec.json.Decoder(_Answer)
_chunk = msgspec.json.Decoder(_Chunk)


def read_json(body: bytes) -> Reading | None:
    answer = decoded(_answer, body)
    return answer.usage.reading() if answer is not None else None


class Stream(Silence):
    """The last usage counts; nothing follows it in a chunk with a reason to finish."""

    def read(self, data: bytes) -> None:
        chunk = decoded(_chunk, data)
        if chunk is None:
            return
        self.failed = self.failed or chunk.error is not None
        if chunk.usage is None:
            return
        reading = chunk.usage.reading()
        self.usage = reading or {}
        self.seen = reading is not None
        self.final = self.seen and bool(chunk.choices) and any(each.finish_reason for each in chunk.choices or ())


READER = Reader(
    meters=("input_tokens", "cached_input_tokens", "input_audio_seconds", "output_tokens"),
    falls_back={"cached_input_tokens": "input_tokens"},
    hold={
        "input_tokens": "request.body_bytes / 3",
        # Sound of 64 kbit/s.
        "input_audio_seconds": "request.body_bytes / 8000",
        "output_tokens": "(request.max_tokens or 1024) * (request.n or 1)",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(b'"usage"', b'"error"'),
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    plain_text=PLAIN_TEXT,
    ending=UnaskedUsageEnding,
)
