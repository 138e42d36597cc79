import base64
import json
from typing import Any

import pytest

from sidecar.domain.meters.bedrock_text import text_of
from tests.domain.meters import golden_bedrock

BODIES: list[tuple[Any, str]] = [
    ({"output": {"message": {"content": [{"text": "a"}, {"toolUse": {"input": {"b": 1}}}]}}}, 'a{"b":1}'),
    ({"output": {"message": {"content": [{"reasoningContent": {"reasoningText": {"text": "so"}}}]}}}, "so"),
    ({"content": [{"type": "text", "text": "a"}, {"type": "tool_use", "input": {"b": 1}}]}, 'a{"b":1}'),
    ({"generation": "llama"}, "llama"),
    ({"completion": "claude"}, "claude"),
    ({"results": [{"outputText": "titan"}]}, "titan"),
    ({"outputs": [{"text": "mistral"}]}, "mistral"),
    ({"choices": [{"message": {"content": "a"}}]}, "a"),
    ({"images": ["aaaa"]}, ""),
]
DELTAS: list[tuple[Any, str]] = [
    ({"contentBlockIndex": 0, "delta": {"text": "a"}}, "a"),
    ({"delta": {"toolUse": {"input": "{"}}}, "{"),
    ({"delta": {"reasoningContent": {"text": "so"}}}, "so"),
    ({"messageStop": {"stopReason": "end_turn"}}, ""),
]
CHUNKS: list[tuple[Any, str]] = [
    ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}, "a"),
    ({"contentBlockDelta": {"delta": {"text": "nova"}}}, "nova"),
    ({"outputText": "titan", "index": 0}, "titan"),
    ({"generation": "llama"}, "llama"),
]


@pytest.mark.parametrize(("body", "text"), BODIES)
def test_a_whole_answer(body: Any, text: str) -> None:
    assert text_of(json.dumps(body).encode()) == text


@pytest.mark.parametrize(("delta", "text"), DELTAS)
def test_a_message_of_converse(delta: Any, text: str) -> None:
    assert text_of(golden_bedrock.event(b"contentBlockDelta", json.dumps(delta).encode())) == text


@pytest.mark.parametrize(("chunk", "text"), CHUNKS)
def test_a_message_of_invoke_model(chunk: Any, text: str) -> None:
    coded = base64.b64encode(json.dumps(chunk).encode()).decode()
    assert text_of(golden_bedrock.event(b"chunk", json.dumps({"bytes": coded}).encode())) == text


@pytest.mark.parametrize("payload", [b"", b"{", b'{"bytes":"a"}', b'{"bytes":"aaaa"}', b"[]"])
def test_what_cannot_be_read_is_no_text(payload: bytes) -> None:
    assert text_of(golden_bedrock.event(b"chunk", payload)) is None
