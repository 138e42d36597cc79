"""OpenAI chat completions: usage of JSON answers and of streams, which report it only when asked.

So that a stream can be charged, `ask_for_usage` adds ``stream_options.include_usage`` to a request that lacks it, and
`HidingBody` takes out of the answer what that adds, so that the client gets the bytes it would have got without::

    data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}     ->   the same without `,"usage":null`
    data: {"choices":[],"usage":{"prompt_tokens":3, …}}             ->   nothing
    data: [DONE]                                                    ->   the same
"""

import re
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.json_text import members
from sidecar.domain.meters.events import BLANK_LINES, EventBuffer, Unfollowable, data_of
from sidecar.domain.meters.openai_endings import ChatEnding
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound
from sidecar.domain.meters.text import TEXT, PlainText, Text, joined

_USAGE = b'"usage"'
_ERROR = b'"error"'
_NULL_LAST = b',"usage":null}\n\n'
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])|"usage"\s*:\s*null\s*,\s*|"usage"\s*:\s*null(?=\s*})')


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None
    audio_tokens: int | None = None


class _CompletionDetails(msgspec.Struct, gc=False):
    audio_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    """``usage`` as OpenAI writes it: cached and audio tokens are inside the prompt, reasoning inside the completion.

    Others of the dialect (xAI, Gemini) have reasoning beside the completion; their total tells.
    """

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    def reading(self) -> Reading | None:
        """Each token in one meter, one that is audio from a cache counted as cached; None for a contradiction."""
        prompt, details = self.prompt_tokens, self.prompt_tokens_details
        cached = audio = 0
        if details is not None:
            cached = details.cached_tokens or 0
            audio = details.audio_tokens or 0
        completion = output = self.completion_tokens
        total = self.total_tokens
        if total is not None and total > prompt + completion:
            output = total - prompt
        if not (
            0 <= cached <= prompt <= MAX_AMOUNT and 0 <= audio <= prompt and 0 <= completion <= output <= MAX_AMOUNT
        ):
            return None
        reading: Reading = {"input_tokens": prompt - cached, "cached_input_tokens": cached, "output_tokens": output}
        spoken = (self.completion_tokens_details and self.completion_tokens_details.audio_tokens) or 0
        return _with_audio(reading, min(audio, prompt - cached), spoken) if audio or spoken else reading


def _with_audio(reading: Reading, heard: int, spoken: int) -> Reading | None:
    """Few answers have any: what is audio moves to meters of its own."""
    return sound(
        {
            "input_tokens": reading["input_tokens"] - heard,
            "input_audio_tokens": heard,
            "cached_input_tokens": reading["cached_input_tokens"],
            "output_tokens": reading["output_tokens"] - spoken,
            "output_audio_tokens": spoken,
        }
    )


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage


class _Chunk(msgspec.Struct, gc=False):
    usage: _Usage | msgspec.UnsetType | None = msgspec.UNSET
    error: Any = None


class _Choices(msgspec.Struct, gc=False):
    choices: list[msgspec.Raw] = []


class _Function(msgspec.Struct, gc=False):
    arguments: Any = None


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: list[_Call] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Message | None = None
    message: _Message | None = None
    text: Any = None


class _Written(msgspec.Struct, gc=False):
    choices: list[_Choice] = []


_answer = msgspec.json.Decoder(_Answer)
_written = msgspec.json.Decoder(_Written)
_chunk = msgspec.json.Decoder(_Chunk)
_choices = msgspec.json.Decoder(_Choices)


def read_json(body: bytes) -> Reading | None:
    # Not by way of `decoded`: this is the most frequent answer of all, and a call is a call.
    try:
        return _answer.decode(body).usage.reading()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Stream(Silence):
    """The last usage counts; a chunk without choices is the one that reports it when all is done."""

    def read(self, data: bytes) -> None:
        self.read_chunk(data)

    def read_chunk(self, data: bytes) -> tuple[bool, bool]:
        """Also answers whether the chunk is the extra one that reports usage, and whether its usage is null."""
        try:
            chunk = _chunk.decode(data)
            if chunk.error is not None:
                self.failed = True
            if not isinstance(chunk.usage, _Usage):
                return False, chunk.usage is None
            extra = not _choices.decode(data).choices
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False, False
        reading = chunk.usage.reading()
        self.seen = reading is not None
        self.final = self.seen and extra
        self.usage = reading or {}
        return extra, False


def text_of(data: bytes) -> str | None:
    """What the model has written of all choices, calls and reasoning included; sound is not text."""
    written = decoded(_written, data)
    if written is None:
        return None
    texts: list[Any] = []
    for choice in written.choices:
        said = choice.delta or choice.message
        if said is None:
            texts.append(choice.text)
            continue
        # Some servers say the same under both names.
        texts += (said.content, said.reasoning_content or said.reasoning, said.refusal)
        calls = (*(call.function for call in said.tool_calls or ()), said.function_call)
        texts += (call.arguments for call in calls if call is not None)
    return joined(texts)


PLAIN_TEXT = PlainText(
    rb'"delta":\{(?:"(?:content|reasoning_content|reasoning|refusal)":|"tool_calls":\[\{"index":\d+,"function":\{"arguments":)'
    rb'"%b"(?:\}|\}\}\]\})' % TEXT,
    b'"delta":',
)


class HidingBody:
    """An event stream from which the usage that only we asked for is taken out; never a coded one."""

    __slots__ = ("_broken", "_buffer", "_pending", "_stream", "_text", "told")

    def __init__(self, text: Text | None = None) -> None:
        """`text` is shown all events."""
        self._text = text
        self._stream = Stream()
        self._buffer = EventBuffer()
        self._pending = self._buffer.pending
        self._broken = False
        self.told = 0

    @property
    def failed(self) -> bool:
        return self._stream.failed

    @property
    def final(self) -> bool:
        return self._stream.final

    def feed(self, data: bytes) -> bytes:
        if self._broken:
            return data
        if not self._pending and data.endswith(BLANK_LINES):
            # Not ``_USAGE in data``, which first tries whether it is a number: 0.18 instead of 0.10 µs.
            null = data.endswith(_NULL_LAST) and is_chunk_with_null(data)
            if null or (data.find(_USAGE) < 0 and data.find(_ERROR) < 0):
                if self._text is not None:
                    self._text.keep(data)
                return data[: -len(_NULL_LAST)] + b"}\n\n" if null else data
        shown: list[bytes] = []
        try:
            for event in self._buffer.add(data):
                if self._text is not None:
                    self._text.keep(event)
                shown.append(self._show(event))
        except Unfollowable:
            self._broken = True
            shown.append(self._buffer.rest())
        return b"".join(shown)

    def flush(self) -> bytes:
        rest = self._buffer.rest()
        return self._show(rest) if rest else rest

    def result(self, *, whole: bool) -> tuple[Reading, bool]:
        self.flush()
        stream = self._stream
        return stream.usage, stream.final or (whole and stream.seen and not self._broken)

    def read_so_far(self) -> tuple[Reading, int]:
        return self._stream.usage, self.written(whole=False) or 0

    def written(self, *, whole: bool) -> int | None:  # noqa: ARG002 - what has passed is what was written
        if self._stream.seen or self._text is None:
            return 0
        return None if self._broken else self._text.tokens

    def _show(self, event: bytes) -> bytes:
        if _USAGE not in event:
            if _ERROR in event:
                self._stream.read(data_of(event))
            return event
        data = data_of(event)
        extra, null = self._stream.read_chunk(data)
        self.told += not null
        if extra:
            return b""
        if not null or data not in event:
            return event
        return event.replace(data, _without_null_usage(data), 1)


def is_chunk_with_null(data: bytes) -> bool:
    """Whether a piece is one event on one line, with a null usage at its end and not a word more about usage.

    What stands right before the last brace is a member of the outer object: no decoding is needed to know that.
    """
    return (
        data.endswith(_NULL_LAST)
        and data.startswith(b"data: {")
        and data.find(b"\n") == len(data) - 2
        and data.count(_USAGE) == 1
        and data.find(_ERROR) < 0
        and data.find(b"\r") < 0
    )


def _without_null_usage(chunk: bytes) -> bytes:
    without, count = _NULL_USAGE.subn(b"", chunk)
    if count == 1:
        return without
    # Another object inside has a `usage` as well: find the outer one.
    parts = list(members(chunk))
    index = next(i for i, member in enumerate(parts) if member.name == "usage")
    if index:
        return chunk[: parts[index - 1].end] + chunk[parts[index].end :]
    return chunk[: parts[0].start] + chunk[parts[1].start if len(parts) > 1 else parts[0].end :]


def asks_for_usage(stream_options: Any) -> bool:
    return isinstance(stream_options, dict) and stream_options.get("include_usage") is True


def ask_for_usage(body: bytes) -> bytes | None:
    """A request body (an object, with at least one member) that asks for usage; all other bytes as they were.

    None when its ``stream_options`` is neither an object nor null: the upstream will refuse it.
    """
    # Names are looked at one by one only where one could be it, written plainly or with escapes.
    possible = body.find(b"stream_options") >= 0 or body.find(b"\\u00") >= 0
    options = [member for member in members(body) if member.name == "stream_options"] if possible else []
    if not options:
        return _insert(body, b'"stream_options":{"include_usage":true},')
    last = options[-1]
    text = body[last.value : last.end]
    value = msgspec.json.decode(text)
    if value is None:
        changed = b'{"include_usage":true}'
    elif not isinstance(value, dict):
        return None
    elif "include_usage" in value:
        asked = [member for member in members(text) if member.name == "include_usage"][-1]
        changed = text[: asked.value] + b"true" + text[asked.end :]
    else:
        changed = _insert(text, b'"include_usage":true' + (b"," if value else b""))
    return body[: last.value] + changed + body[last.end :]


def _insert(text: bytes, member: bytes) -> bytes:
    at = text.index(b"{") + 1
    return text[:at] + member + text[at:]


READER = Reader(
    meters=("input_tokens", "input_audio_tokens", "cached_input_tokens", "output_tokens", "output_audio_tokens"),
    falls_back={
        "input_audio_tokens": "input_tokens",
        "cached_input_tokens": "input_tokens",
        "output_audio_tokens": "output_tokens",
    },
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "(request.max_completion_tokens or request.max_tokens or 1024) * (request.n or 1)",
    },
    read_json=read_json,
    open_stream=Stream,
    needles=(_USAGE, _ERROR),
    silent=is_chunk_with_null,
    asks=True,
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    plain_text=PLAIN_TEXT,
    ending=ChatEnding,
)
