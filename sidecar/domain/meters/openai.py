"""OpenAI responses and embeddings: usage of JSON answers, and of the event that ends a stream of a response."""

from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.meters.openai_endings import ResponseEnding
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound
from sidecar.domain.meters.text import TEXT, PlainText, joined


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int
    output_tokens: int = 0
    input_tokens_details: _InputDetails | None = None

    def reading(self) -> Reading | None:
        """Cached tokens are inside the input, reasoning is inside the output; None when the numbers contradict."""
        cached = (self.input_tokens_details and self.input_tokens_details.cached_tokens) or 0
        if not (0 <= cached <= self.input_tokens <= MAX_AMOUNT and 0 <= self.output_tokens <= MAX_AMOUNT):
            return None
        return {
            "input_tokens": self.input_tokens - cached,
            "cached_input_tokens": cached,
            "output_tokens": self.output_tokens,
        }


class _Response(msgspec.Struct, gc=False):
    usage: _Usage | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    response: _Response | None = None


class _EmbeddingUsage(msgspec.Struct, gc=False):
    prompt_tokens: int


class _Embeddings(msgspec.Struct, gc=False):
    usage: _EmbeddingUsage


class _Part(msgspec.Struct, gc=False):
    text: Any = None
    refusal: Any = None


class _Item(msgspec.Struct, gc=False):
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    arguments: Any = None
    input: Any = None
    code: Any = None


class _Written(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    output: list[_Item] | None = None


_written = msgspec.json.Decoder(_Written)
_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_embeddings = msgspec.json.Decoder(_Embeddings)


def read_response(body: bytes) -> Reading | None:
    response = decoded(_response, body)
    return response.usage.reading() if response is not None and response.usage is not None else None


def read_embeddings(body: bytes) -> Reading | None:
    answer = decoded(_embeddings, body)
    return sound({"input_tokens": answer.usage.prompt_tokens}) if answer is not None else None


class ResponseStream(Silence):
    """``response.completed`` and ``response.incomplete`` carry the usage; earlier events carry a null."""

    def read(self, data: bytes) -> None:
        event = decoded(_event, data)
        if event is None:
            return
        self.failed = self.failed or event.type in {"response.failed", "error"}
        usage = event.response.usage if event.response is not None else None
        reading = usage.reading() if usage is not None else None
        if reading is not None:
            self.usage = reading
            self.seen = self.final = True


def text_of(data: bytes) -> str | None:
    """Text, refusals, what is told of reasoning, and the arguments of calls; sound is not text.

    In a stream the deltas have all of it; the events that end a part say it again.
    """
    written = decoded(_written, data)
    if written is None:
        return None
    texts: list[Any] = []
    if written.type.endswith(".delta") and written.type != "response.audio.delta":
        texts.append(written.delta)
    for item in written.output or ():
        texts += (
            text for part in (*(item.summary or ()), *(item.content or ())) for text in (part.text, part.refusal)
        )
        texts += (item.arguments, item.input, item.code)
    return joined(texts)


RESPONSES = Reader(
    meters=("input_tokens", "cached_input_tokens", "output_tokens"),
    falls_back={"cached_input_tokens": "input_tokens"},
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "request.max_output_tokens or 1024",
    },
    read_json=read_response,
    open_stream=ResponseStream,
    needles=(b'"usage"', b'"error"'),
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    plain_text=PlainText(
        rb'"type":"response\.(?:output_text|refusal|reasoning[a-z_]*|function_call_arguments)\.delta",'
        rb'(?:"[a-z_]+":(?:"[^"\\]*"|\d+),)*"delta":"%b"' % TEXT,
        b'"delta":',
    ),
    ending=ResponseEnding,
)

EMBEDDINGS = Reader(
    meters=("input_tokens",),
    hold={"input_tokens": "request.body_bytes / 3"},
    read_json=read_embeddings,
    open_stream=Silence,
    needles=(),
    estimates=("input_tokens",),
)
