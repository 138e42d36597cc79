"""The end of a stream of Amazon Bedrock: of Converse, of Anthropic's models, and an exception for other makers'."""

import binascii
from typing import Any

import msgspec

from sidecar.domain.meters.anthropic_ending import last_words
from sidecar.domain.meters.endings import LatestEvents, exception_message, json, tokens
from sidecar.domain.meters.frames import FrameBuffer, headers_of, message, payload_of
from sidecar.domain.meters.reader import decoded
from sidecar.domain.price import Usage

_CONVERSE = frozenset({b"messageStart", b"contentBlockStart", b"contentBlockDelta", b"contentBlockStop"})
_OPEN = frozenset({b"contentBlockStart", b"contentBlockDelta"})
_MAKERS_OPEN = frozenset({"content_block_start", "content_block_delta"})


class _Payload(msgspec.Struct, gc=False):
    index: int | None = msgspec.field(default=None, name="contentBlockIndex")
    bytes: str | None = None


class _Chunk(msgspec.Struct, gc=False):
    """An event of Anthropic's."""

    type: str = ""
    index: int = 0


_payload = msgspec.json.Decoder(_Payload)
_chunk = msgspec.json.Decoder(_Chunk)


class BedrockEnding(LatestEvents):
    """The latest message says which of them it is, and which block is open."""

    framing = "frames"

    def last(self, refused: bytes, usage: Usage, reservation_id: str) -> bytes:  # noqa: ARG002 - a face
        latest = b""
        for each in FrameBuffer().add(self.latest):
            latest = each
        kind, payload = headers_of(latest).get(b":event-type", b""), decoded(_payload, payload_of(latest))
        if kind in _CONVERSE:
            return _converse(payload.index if kind in _OPEN and payload is not None else None, usage)
        chunk = decoded(_chunk, _coded(payload))
        if chunk is None or not chunk.type:
            return exception_message()
        words = last_words([chunk.index] if chunk.type in _MAKERS_OPEN else [], usage)
        into, out = tokens(usage)
        words[-1]["amazon-bedrock-invocationMetrics"] = {"inputTokenCount": into, "outputTokenCount": out}
        return b"".join(_event("chunk", {"bytes": _base64(json(each))}) for each in words)


def _converse(open_block: int | None, usage: Usage) -> bytes:
    into, out = tokens(usage)
    counts = {"inputTokens": into, "outputTokens": out, "totalTokens": into + out}
    stop = _event("contentBlockStop", {"contentBlockIndex": open_block}) if open_block is not None else b""
    return (
        stop
        + _event("messageStop", {"stopReason": "max_tokens"})
        + _event("metadata", {"usage": counts, "metrics": {"latencyMs": 0}})
    )


def _event(kind: str, payload: Any) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, json(payload))


def _coded(payload: _Payload | None) -> bytes:
    try:
        return binascii.a2b_base64((payload and payload.bytes) or "")
    except ValueError:
        return b""


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()
