"""Google Gemini: generateContent, and streamGenerateContent as events or as one JSON array of the same chunks.

Cached tokens are inside the prompt, those of tool results and of thoughts stand beside; modalities are inside each.
Numbers grow from chunk to chunk, and the last word on each counts.
"""

from typing import Any

import msgspec

from sidecar.domain.meters.other_endings import GeminiEnding
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, over, sound
from sidecar.domain.meters.text import joined


class _Modality(msgspec.Struct, gc=False):
    modality: str = ""
    tokenCount: int = 0  # noqa: N815 - Google's own name


class _Usage(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    thoughts_token_count: int | None = None
    prompt_tokens_details: list[_Modality] | None = None
    cache_tokens_details: list[_Modality] | None = None
    candidates_tokens_details: list[_Modality] | None = None

    def reading(self) -> Reading | None:
        """Each token in one meter; None without a prompt, or when the numbers contradict each other."""
        if self.prompt_token_count is None:
            return None
        cached = self.cached_content_token_count or 0
        fresh = self.prompt_token_count - cached
        audio = _tokens(self.prompt_tokens_details, "AUDIO")
        # Sound of which nobody says whether a cache served it counts as fresh, as far as that can be.
        cached_audio = max(_tokens(self.cache_tokens_details, "AUDIO"), audio - fresh)
        image = _tokens(self.candidates_tokens_details, "IMAGE")
        spoken = _tokens(self.candidates_tokens_details, "AUDIO")
        tools, thoughts = self.tool_use_prompt_token_count or 0, self.thoughts_token_count or 0
        if tools < 0 or thoughts < 0:
            return None
        text_in, text_out = fresh - (audio - cached_audio), (self.candidates_token_count or 0) - image - spoken
        if text_in < 0 or text_out < 0:
            return None
        return sound(
            {
                "input_tokens": text_in + tools,
                "input_audio_tokens": audio - cached_audio,
                "cached_input_tokens": cached - cached_audio,
                "cached_input_audio_tokens": cached_audio,
                "output_tokens": text_out + thoughts,
                "output_image_tokens": image,
                "output_audio_tokens": spoken,
            }
        )


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, gc=False, rename="camel"):
    usage_metadata: _Usage | None = None
    candidates: list[_Candidate] | None = None
    error: Any = None


class _Part(msgspec.Struct, gc=False, rename="camel"):
    text: Any = None
    function_call: Any = None
    executable_code: Any = None


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Answered(msgspec.Struct, gc=False):
    content: _Content | None = None


class _Written(msgspec.Struct, gc=False):
    candidates: list[_Answered] | None = None


_chunk = msgspec.json.Decoder(_Chunk)
_whole = msgspec.json.Decoder(_Chunk | list[_Chunk])
_written = msgspec.json.Decoder(_Written | list[_Written])


def _tokens(details: list[_Modality] | None, modality: str) -> int:
    return sum(each.tokenCount for each in details if each.modality == modality) if details else 0


def read_json(body: bytes) -> Reading | None:
    """An answer, or the array that a stream is when nobody asks for events; None for one that reports an error."""
    whole = decoded(_whole, body)
    if whole is None:
        return None
    stream = Stream()
    for chunk in whole if isinstance(whole, list) else [whole]:
        stream.take(chunk)
    return stream.usage if stream.seen and not stream.failed else None


class Stream(Silence):
    """Each chunk has the usage so far; the one with a reason to finish has all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._latest = _Usage()

    def read(self, data: bytes) -> None:
        chunk = decoded(_chunk, data)
        if chunk is not None:
            self.take(chunk)

    def take(self, chunk: _Chunk) -> None:
        """One chunk of the stream."""
        self.failed = self.failed or chunk.error is not None
        usage = chunk.usage_metadata
        if usage is None:
            return
        self._latest = over(usage, self._latest)
        reading = self._latest.reading()
        self.usage = reading or {}
        self.seen = reading is not None
        finished = chunk.candidates is not None and any(each.finish_reason for each in chunk.candidates)
        self.final = self.seen and (finished or self.final)


def text_of(data: bytes) -> str | None:
    """Text, thoughts, calls and code; images and sound are not text."""
    written = decoded(_written, data)
    if written is None:
        return None
    return joined(
        part
        for chunk in (written if isinstance(written, list) else (written,))
        for candidate in chunk.candidates or ()
        for each in (candidate.content and candidate.content.parts) or ()
        for part in (each.text, each.function_call, each.executable_code)
    )


READER = Reader(
    meters=(
        "input_tokens",
        "input_audio_tokens",
        "cached_input_tokens",
        "cached_input_audio_tokens",
        "output_tokens",
        "output_image_tokens",
        "output_audio_tokens",
    ),
    falls_back={
        "input_audio_tokens": "input_tokens",
        "cached_input_tokens": "input_tokens",
        "cached_input_audio_tokens": "cached_input_tokens",
        "output_image_tokens": "output_tokens",
        "output_audio_tokens": "output_tokens",
    },
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "(request.generationConfig.maxOutputTokens or 1024)"
        " * (request.generationConfig.candidateCount or 1)",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(b'"usageMetadata"', b'"error"'),
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    ending=GeminiEnding,
)
