"""How streams of Gemini, Cohere and Ollama end."""

import json
from typing import Any

from sidecar.domain.meters.endings import Ending
from sidecar.domain.meters.events import EventBuffer, data_of, type_of
from sidecar.domain.meters.other_endings import CohereEnding, GeminiEnding, OllamaEnding
from tests.domain.meters.golden import event
from tests.domain.meters.golden_others import cohere_stream, gemini_stream, ollama_stream

USAGE = {"input_tokens": 12, "output_tokens": 34}


def ends(ending: Ending, *events: bytes, refused: bytes = b"") -> list[tuple[bytes, Any]]:
    for each in events:
        ending.pass_on(each)
    last = EventBuffer().add(ending.last(refused, USAGE, "rsv_1"))
    return [(type_of(each), json.loads(data_of(each))) for each in last]


def test_gemini() -> None:
    first, *_ = EventBuffer().add(gemini_stream())
    ((_, told),) = ends(GeminiEnding(), first)
    (candidate,) = told["candidates"]
    assert (candidate["finishReason"], candidate["index"]) == ("MAX_TOKENS", 0)
    assert told["usageMetadata"] == json.loads(data_of(first))["usageMetadata"]
    two = event(b'{"candidates":[{"index":0},{"index":1}],"responseId":"r"}')
    ((_, told),) = ends(GeminiEnding(), two)
    assert ([each["index"] for each in told["candidates"]], told["responseId"]) == ([0, 1], "r")
    assert told["usageMetadata"] == {"promptTokenCount": 12, "candidatesTokenCount": 34, "totalTokenCount": 46}
    ((_, told),) = ends(GeminiEnding(), refused=b": nothing\n\n")
    assert told["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_cohere() -> None:
    events = list(EventBuffer().add(cohere_stream()))
    delta = next(each for each in events if type_of(each) == b"content-delta")
    open_content, end = ends(CohereEnding(), events[0], delta)
    assert open_content == (b"content-end", {"type": "content-end", "index": 0})
    assert end[0] == b"message-end"
    assert end[1]["delta"]["finish_reason"] == "MAX_TOKENS"
    assert end[1]["delta"]["usage"]["billed_units"] == {"input_tokens": 12, "output_tokens": 34}
    assert ends(CohereEnding(), events[0]) == [end]


def test_ollama() -> None:
    chat, *_ = ollama_stream().splitlines(keepends=True)
    generated = b'{"model":"m","created_at":"t","response":"Hi","done":false}\n'
    for line, said in ((chat, {"message": {"role": "assistant", "content": ""}}), (generated, {"response": ""})):
        ending = OllamaEnding()
        ending.pass_on(line)
        told = json.loads(ending.last(b"", USAGE, "rsv_1"))
        assert said.items() <= told.items()
        assert told["model"] == json.loads(line)["model"]
        assert (told["done"], told["done_reason"], told["eval_count"]) == (True, "length", 34)
        assert told["credit_exhausted"] is True
    assert json.loads(OllamaEnding().last(b"", USAGE, "rsv_1"))["done"] is True
