"""OpenAI responses and embeddings: usage of JSON answers, and of the event that ends a stream of a response."""

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.meters.reader import Reader, Reading


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


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_embeddings = msgspec.json.Decoder(_Embeddings)


def read_response(body: bytes) -> Reading | None:
    try:
        usage = _response.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return usage.reading() if usage is not None else None


def read_embeddings(body: bytes) -> Reading | None:
    try:
        tokens = _embeddings.decode(body).usage.prompt_tokens
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return {"input_tokens": tokens} if 0 <= tokens <= MAX_AMOUNT else None


class ResponseStream:
    """``response.completed`` and ``response.incomplete`` carry the usage; earlier events carry a null."""

    def __init__(self) -> None:
        self.usage: Reading = {}
        self.seen = False
        self.final = False
        self.failed = False

    def read(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        self.failed = self.failed or event.type in {"response.failed", "error"}
        usage = event.response.usage if event.response is not None else None
        reading = usage.reading() if usage is not None else None
        if reading is not None:
            self.usage = reading
            self.seen = self.final = True


class NoStream:
    """An API that has no event streams: whatever comes as one says nothing."""

    def __init__(self) -> None:
        self.usage: Reading = {}
        self.seen = False
        self.final = False
        self.failed = False

    def read(self, data: bytes) -> None:
        """Nothing to read."""


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
)

EMBEDDINGS = Reader(
    meters=("input_tokens",),
    hold={"input_tokens": "request.body_bytes / 3"},
    read_json=read_embeddings,
    open_stream=NoStream,
    needles=(),
)
