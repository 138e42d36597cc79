"""How streams of OpenAI's dialects end."""

import json
from typing import Any

from sidecar.domain.meters.endings import Ending
from sidecar.domain.meters.events import data_of, events_in, type_of
from sidecar.domain.meters.openai_endings import ChatEnding, CompletionEnding, ResponseEnding, UnaskedUsageEnding
from tests.domain.meters.golden import event

USAGE = {"input_tokens": 12, "cached_input_tokens": 3, "output_tokens": 34}


def chunk(*choices: dict[str, Any], **more: Any) -> bytes:
    said = {"id": "c1", "object": "o", "created": 7, "model": "m", "system_fingerprint": "f", "choices": choices}
    return event(json.dumps(said | more, separators=(",", ":")).encode())


def choice(index: int, finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {"content": "x"}, "finish_reason": finish_reason}


def last(ending: Ending, *events: bytes, refused: bytes = b"") -> list[Any]:
    for each in events:
        ending.pass_on(each)
    *told, done = [data_of(each) for each in events_in(ending.last(refused, USAGE, "rsv_1"))]
    assert done == b"[DONE]"
    return [json.loads(each) for each in told]


def test_each_open_choice_has_its_end() -> None:
    events = chunk(choice(0)), chunk(choice(1)) + chunk(choice(2)), chunk(choice(0, "stop"))
    (told,) = last(ChatEnding(), *events)
    assert told == {
        "id": "c1", "object": "o", "created": 7, "model": "m", "system_fingerprint": "f",
        "choices": [
            {"index": index, "delta": {}, "logprobs": None, "finish_reason": "length"} for index in (1, 2)
        ],
    }  # fmt: skip


def test_calls_of_tools_are_no_choices() -> None:
    call = {"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": "{"}}]}}
    (told,) = last(ChatEnding(), chunk(choice(0)), chunk(call))
    assert [each["index"] for each in told["choices"]] == [0]


def test_who_asked_for_usage_gets_it() -> None:
    first, second = last(ChatEnding(), chunk(choice(0), usage=None))
    assert first["usage"] is None
    counts = {"prompt_tokens": 15, "completion_tokens": 34, "total_tokens": 49}
    assert (second["choices"], second["usage"]) == ([], counts)
    (only,) = last(UnaskedUsageEnding(), chunk(choice(0)))
    assert (only["usage"], only["choices"][0]["finish_reason"]) == (counts, "length")


def test_a_text_completion_has_text() -> None:
    (told,) = last(CompletionEnding(), chunk({"index": 0, "text": "x"}))
    assert told["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}]


def test_nothing_was_passed_on() -> None:
    (told,) = last(ChatEnding(), refused=chunk(choice(0)))
    assert (told["id"], told["choices"][0]["finish_reason"]) == ("c1", "length")
    (told,) = last(ChatEnding())
    assert "id" not in told


class TestAResponse:
    CREATED = event(b'{"type":"response.created","sequence_number":0,"response":{"id":"r1","status":"in_progress"}}')
    DELTA = event(b'{"type":"response.output_text.delta","sequence_number":4,"delta":"x"}')

    def test_is_incomplete(self) -> None:
        ending = ResponseEnding()
        for each in (self.CREATED, self.DELTA):
            ending.pass_on(each)
        (end,) = events_in(ending.last(self.DELTA, USAGE, "rsv_1"))
        told = json.loads(data_of(end))
        assert (type_of(end), told["type"], told["sequence_number"]) == (b"response.incomplete", told["type"], 5)
        response = told["response"]
        assert (response["id"], response["status"]) == ("r1", "incomplete")
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert (response["usage"]["input_tokens"], response["usage"]["total_tokens"]) == (15, 49)

    def test_that_has_not_been_created_yet_is_so_first(self) -> None:
        first, second = events_in(ResponseEnding().last(self.CREATED, USAGE, "rsv_1"))
        assert data_of(first) == data_of(self.CREATED)
        assert json.loads(data_of(second))["sequence_number"] == 1

    def test_of_which_nothing_is_known_is_an_error(self) -> None:
        (end,) = events_in(ResponseEnding().last(self.DELTA, USAGE, "rsv_1"))
        assert type_of(end) == b"error"
