"""How streams of Amazon Bedrock end: in messages whose checksums are right."""

import base64
import json
from typing import Any

from sidecar.domain.meters.bedrock_ending import BedrockEnding
from sidecar.domain.meters.frames import FrameBuffer, headers_of, payload_of
from tests.domain.meters.golden_bedrock import converse_stream, event, invoke_stream

USAGE = {"input_tokens": 12, "output_tokens": 34}


def ends(*messages: bytes) -> list[tuple[bytes, Any]]:
    ending = BedrockEnding()
    for each in messages:
        ending.pass_on(each)
    last = FrameBuffer().add(ending.last(b"", USAGE, "rsv_1"))
    return [(headers_of(each).get(b":event-type", b""), json.loads(payload_of(each))) for each in last]


def test_converse() -> None:
    start, delta, stop, *_ = converse_stream()
    rest = [
        (b"messageStop", {"stopReason": "max_tokens"}),
        (
            b"metadata",
            {"usage": {"inputTokens": 12, "outputTokens": 34, "totalTokens": 46}, "metrics": {"latencyMs": 0}},
        ),
    ]
    assert ends(start, delta) == [(b"contentBlockStop", {"contentBlockIndex": 0}), *rest]
    assert ends(start, delta, stop) == ends(start) == rest
    assert ends(start + delta) == ends(start, delta)


def test_anthropic_s_models() -> None:
    start, delta, *_ = invoke_stream()
    told = [(kind, json.loads(base64.b64decode(payload["bytes"]))) for kind, payload in ends(start, delta)]
    assert {kind for kind, _ in told} == {b"chunk"}
    assert [each["type"] for _, each in told] == ["content_block_stop", "message_delta", "message_stop"]
    assert told[-1][1]["amazon-bedrock-invocationMetrics"] == {"inputTokenCount": 12, "outputTokenCount": 34}
    assert len(ends(start)) == 2


def test_other_makers_and_nothing_at_all_are_an_exception() -> None:
    llama = event(b"chunk", json.dumps({"bytes": base64.b64encode(b'{"generation":"Hi"}').decode()}).encode())
    odd = event(b"chunk", b'{"bytes":"%"}')
    for messages in ((llama,), (odd,), ()):
        ((kind, payload),) = ends(*messages)
        assert (kind, payload["code"]) == (b"", "credit_exhausted")
