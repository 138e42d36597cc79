"""Amazon Bedrock: Converse and InvokeModel, and their streams in AWS messages (see `frames`).

Converse reports usage in its JSON and in the ``metadata`` of its stream. InvokeModel passes on whatever the model
says, with the counts in the answer's head, or in the last chunk of its stream. Classes of input stand beside each
other.
"""

import binascii
from typing import Any

import msgspec

from sidecar.domain.fields import Fields
from sidecar.domain.meters import anthropic
from sidecar.domain.meters.bedrock_ending import BedrockEnding
from sidecar.domain.meters.bedrock_text import text_of
from sidecar.domain.meters.frames import headers_of, payload_of
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded, sound
from sidecar.domain.price import Number, parse_number

_HEAD = b"x-amzn-bedrock-"
_METRICS = b'"amazon-bedrock-invocationMetrics"'


class _CacheDetail(msgspec.Struct, gc=False):
    ttl: str = ""
    inputTokens: int = 0  # noqa: N815 - Amazon's own name


class _Usage(msgspec.Struct, gc=False, rename="camel"):
    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    cache_details: list[_CacheDetail] | None = None

    def reading(self) -> Reading | None:
        hour = sum(each.inputTokens for each in self.cache_details or () if each.ttl == "1h")
        return _reading(
            self.input_tokens,
            self.output_tokens,
            self.cache_read_input_tokens or 0,
            self.cache_write_input_tokens or 0,
            hour,
        )


class _Metrics(msgspec.Struct, gc=False, rename="camel"):
    input_token_count: int
    output_token_count: int
    cache_read_input_token_count: int | None = None
    cache_write_input_token_count: int | None = None

    def reading(self) -> Reading | None:
        return _reading(
            self.input_token_count,
            self.output_token_count,
            self.cache_read_input_token_count or 0,
            self.cache_write_input_token_count or 0,
        )


class _Answer(msgspec.Struct, gc=False):
    usage: _Usage


class _Payload(msgspec.Struct, gc=False):
    usage: Any = None
    bytes: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    metrics: _Metrics | None = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")


_answer = msgspec.json.Decoder(_Answer)
_payload = msgspec.json.Decoder(_Payload)
_chunk = msgspec.json.Decoder(_Chunk)


def _reading(fresh: Number, output: Number, read: Number, written: Number, hour: Number = 0) -> Reading | None:
    return sound(
        {
            "input_tokens": fresh,
            "cache_creation_input_tokens": written - hour,
            "cache_creation_1h_input_tokens": hour,
            "cache_read_input_tokens": read,
            "output_tokens": output,
        }
    )


def read_json(body: bytes) -> Reading | None:
    """An answer of Converse."""
    answer = decoded(_answer, body)
    return answer.usage.reading() if answer is not None else None


def read_head(fields: Fields) -> Reading | None:
    """The head of an answer of InvokeModel; None where it has no counts, or one that is none."""
    counts: list[Number] = []
    for name in (b"input", b"output", b"cache-read-input", b"cache-write-input"):
        text = fields.get(_HEAD + name + b"-token-count")
        if text is None and name.startswith(b"cache"):
            text = b"0"
        count = parse_number(text.decode("latin-1").strip()) if text is not None else None
        if count is None:
            return None
        counts.append(count)
    fresh, output, read, written = counts
    return _reading(fresh, output, read, written)


class Stream(Silence):
    """Takes whole messages. ``metadata``, or the chunk with the metrics, is the last word."""

    def read(self, data: bytes) -> None:
        headers = headers_of(data)
        if headers.get(b":message-type", b"event") != b"event":
            self.failed = True
            return
        payload = decoded(_payload, text := payload_of(data))
        if payload is None:
            return
        reading = read_json(text) if payload.usage is not None else _of_chunk(payload.bytes)
        if reading is not None:
            self.usage = reading
            self.seen = self.final = True


def _of_chunk(coded: str | None) -> Reading | None:
    try:
        text = binascii.a2b_base64(coded or "")
    except ValueError:
        return None
    if text.find(_METRICS) < 0:
        return None
    chunk = decoded(_chunk, text)
    return chunk.metrics.reading() if chunk is not None and chunk.metrics is not None else None


READER = Reader(
    meters=anthropic.READER.meters,
    falls_back=anthropic.READER.falls_back,
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "request.inferenceConfig.maxTokens or request.max_tokens or request.max_gen_len or 1024",
    },
    read_head=read_head,
    read_json=read_json,
    open_stream=Stream,
    needles=(b'"usage"', b'"bytes"', b":exception-type", b":error-code"),
    whole_events=True,
    estimates=("input_tokens", "output_tokens"),
    text_of=text_of,
    ending=BedrockEnding,
)
