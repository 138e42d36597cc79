"""Answers of Amazon Bedrock, shortened: JSON, and messages of its binary event streams."""

import base64
import json
import struct
import zlib
from collections.abc import Mapping

CONVERSE_JSON = b"""{"metrics": {"latencyMs": 1275},
  "output": {"message": {"content": [{"text": "\\"usage\\""}], "role": "assistant"}}, "stopReason": "end_turn",
  "usage": {"cacheDetails": [{"ttl": "1h", "inputTokens": 100}, {"ttl": "5m", "inputTokens": 148}],
            "cacheReadInputTokens": 1800, "cacheWriteInputTokens": 248, "inputTokens": 12, "outputTokens": 503,
            "totalTokens": 2563}}"""
CONVERSE_USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 148,
    "cache_creation_1h_input_tokens": 100,
    "cache_read_input_tokens": 1800,
    "output_tokens": 503,
}
INVOKE_USAGE = {
    "input_tokens": 12,
    "cache_creation_input_tokens": 248,
    "cache_creation_1h_input_tokens": 0,
    "cache_read_input_tokens": 1800,
    "output_tokens": 503,
}
"""How long a cache write lasts is not said by InvokeModel."""
INVOKE_HEAD = {
    b"content-type": b"application/json",
    b"x-amzn-bedrock-input-token-count": b"12",
    b"x-amzn-bedrock-output-token-count": b"503",
    b"x-amzn-bedrock-cache-read-input-token-count": b"1800",
    b"x-amzn-bedrock-cache-write-input-token-count": b"248",
    b"x-amzn-bedrock-invocation-latency": b"1275",
}
INVOKE_JSON = b'{"id": "msg_bdrk_1", "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}'


def text_header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value


def frame(payload: bytes, *header: bytes, more: bytes = b"") -> bytes:
    """A message with one text header (name and value) or none, and `more` headers as they are."""
    headers = (text_header(*header) if header else b"") + more
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def event(kind: bytes, payload: bytes) -> bytes:
    content = text_header(b":content-type", b"application/json") + text_header(b":message-type", b"event")
    return frame(payload, b":event-type", kind, more=content)


def exception(kind: bytes) -> bytes:
    more = text_header(b":content-type", b"application/json") + text_header(b":message-type", b"exception")
    return frame(b'{"message": "Too many requests"}', b":exception-type", kind, more=more)


def converse_stream() -> list[bytes]:
    usage = CONVERSE_JSON[CONVERSE_JSON.index(b'{"cacheDetails') : -1].replace(b"\n", b"")
    return [
        event(b"messageStart", b'{"p":"abc","role":"assistant"}'),
        event(b"contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"the \\"usage\\" of"},"p":"abcd"}'),
        event(b"contentBlockStop", b'{"contentBlockIndex":0,"p":"a"}'),
        event(b"messageStop", b'{"p":"abcdef","stopReason":"end_turn"}'),
        event(b"metadata", b'{"metrics":{"latencyMs":1275},"p":"ab","usage":' + usage + b"}"),
    ]


METRICS = {
    "inputTokenCount": 12,
    "outputTokenCount": 503,
    "cacheReadInputTokenCount": 1800,
    "cacheWriteInputTokenCount": 248,
}


def invoke_stream(metrics: Mapping[str, object] = METRICS) -> list[bytes]:
    chunks: list[dict[str, object]] = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 12, "output_tokens": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_delta", "usage": {"output_tokens": 503}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {**metrics, "invocationLatency": 1275}},
    ]
    payloads = [{"bytes": base64.b64encode(json.dumps(chunk).encode()).decode(), "p": "ab"} for chunk in chunks]
    return [event(b"chunk", json.dumps(payload).encode()) for payload in payloads]
