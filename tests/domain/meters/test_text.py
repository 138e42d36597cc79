"""The text of answers, for estimates: all that a model has written, once, and nothing around it."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.estimates import Estimate
from sidecar.domain.meters.body import EVENTS, LINES
from sidecar.domain.meters.events import data_of, events_in
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.openai_chat import PLAIN_TEXT
from sidecar.domain.meters.text import KEPT_MAX_BYTES, Text, joined
from tests.domain.meters.corpus import WHOLE, Golden
from tests.domain.meters.golden import event


def chat(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


TEXTS: list[tuple[str, Any, str]] = [
    ("openai.chat", chat(content="Hé"), "Hé"),
    ("openai.chat", chat(role="assistant", content=None, refusal="No"), "No"),
    ("openai.chat", chat(reasoning_content="so", reasoning="so"), "so"),
    ("openai.chat", chat(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": '{"a"'}}]), '{"a"'),
    ("openai.chat", chat(function_call={"arguments": "{}"}), "{}"),
    ("openai.chat", chat(audio={"data": "aaaa"}), ""),
    ("openai.chat", {"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}, "ab"),
    ("openai.chat", {"choices": [{"message": {"content": [{"text": "a"}]}}]}, '[{"text":"a"}]'),
    ("openai.chat", {"choices": []}, ""),
    ("openai.completions", {"choices": [{"text": "a"}, {"text": "b"}]}, "ab"),
    ("openai.responses", {"type": "response.output_text.delta", "delta": "a"}, "a"),
    ("openai.responses", {"type": "response.function_call_arguments.delta", "delta": "{"}, "{"),
    ("openai.responses", {"type": "response.reasoning_summary_text.delta", "delta": "so"}, "so"),
    ("openai.responses", {"type": "response.audio.delta", "delta": "aaaa"}, ""),
    ("openai.responses", {"type": "response.output_text.done", "text": "all of it"}, ""),
    (
        "openai.responses",
        {"output": [
            {"type": "reasoning", "summary": [{"text": "so"}]},
            {"type": "message", "content": [{"text": "a"}, {"type": "refusal", "refusal": "b"}]},
            {"type": "function_call", "arguments": "{}"},
        ]},
        "soab{}",
    ),
    ("anthropic.messages", {"content": [{"text": "a"}, {"thinking": "b", "signature": "xxxx"}]}, "ab"),
    ("anthropic.messages", {"content": [{"type": "tool_use", "input": {"a": 1}}]}, '{"a":1}'),
    ("anthropic.messages", {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, ""),
    ("anthropic.messages", {"delta": {"type": "input_json_delta", "partial_json": '{"a"'}}, '{"a"'),
    ("anthropic.messages", {"delta": {"type": "signature_delta", "signature": "xxxx"}}, ""),
    ("anthropic.messages", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}, ""),
    ("google.gemini", {"candidates": [{"content": {"parts": [{"text": "a"}, {"text": "b"}]}}]}, "ab"),
    ("google.gemini", {"candidates": [{"content": {"parts": [{"inlineData": {"data": "aaaa"}}]}}]}, ""),
    ("google.gemini", {"candidates": [{"content": {"parts": [{"functionCall": {"n": 1}}]}}]}, '{"n":1}'),
    ("google.gemini", [{"candidates": [{"content": {"parts": [{"text": t}]}}]} for t in "ab"], "ab"),
    ("google.gemini", {"promptFeedback": {}, "candidates": [{"finishReason": "SAFETY"}]}, ""),
    ("mistral.chat", chat(content="a"), "a"),
    ("cohere.chat", {"message": {"content": [{"text": "a"}, {"thinking": "b"}], "tool_plan": "p"}}, "pab"),
    ("cohere.chat", {"message": {"tool_calls": [{"function": {"arguments": "{}"}}]}}, "{}"),
    ("cohere.chat", {"type": "content-delta", "delta": {"message": {"content": {"text": "a"}}}}, "a"),
    (
        "cohere.chat",
        {"type": "tool-call-delta", "delta": {"message": {"tool_calls": {"function": {"arguments": "{"}}}}},
        "{",
    ),
    ("cohere.chat", {"type": "content-end", "index": 0}, ""),
    ("ollama", {"message": {"content": "a", "thinking": "b"}, "done": False}, "ab"),
    ("ollama", {"response": "a", "thinking": "b"}, "ab"),
    ("ollama", {"message": {"tool_calls": [{"function": {"arguments": {"a": 1}}}]}}, '{"a":1}'),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "data", "text"), TEXTS)
def test_what_was_written(reader: str, data: Any, text: str) -> None:
    text_of = READERS[reader].text_of
    assert text_of is not None
    assert sorted(text_of(json.dumps(data).encode()) or "") == sorted(text)


@pytest.mark.parametrize("name", [name for name, reader in READERS.items() if reader.text_of is not None])
@pytest.mark.parametrize(
    "data", [b"", b"[DONE]", b"<html>", b'"text"', b'{"choices":7,"content":7,"output":7', b"\xff"]
)
def test_what_is_no_answer_has_no_text(name: str, data: bytes) -> None:
    text_of = READERS[name].text_of
    assert text_of is not None
    assert text_of(data) is None


@pytest.mark.parametrize("answer", WHOLE, ids=lambda answer: answer.name)
def test_every_reader_that_estimates_output_knows_the_text_of_its_answers(answer: Golden) -> None:
    reader = READERS[answer.reader]
    assert ("output_tokens" in reader.estimates) == (reader.text_of is not None)
    assert set(reader.estimates) <= set(reader.meters)
    if reader.text_of is not None:
        assert reader.text_of(answer.body) is not None


WORDS = st.text(st.characters(exclude_categories=["Cs"]))


def a_text(reader: str = "openai.chat", *, plain: bool = True) -> Text:
    """One token for each byte."""
    known = READERS[reader]
    assert known.text_of is not None
    return Text(Estimate(Fraction(1)), known.text_of, events_in, data_of, known.plain_text if plain else None)


def compact(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def delta_of(reader: str, text: str) -> Any:
    match reader:
        case "openai.chat" | "mistral.chat":
            return chat(content=text)
        case "openai.completions":
            return {"choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": None}]}
        case "openai.responses":
            return {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "delta": text, "x": "y"}
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


PLAIN = [name for name, reader in READERS.items() if reader.plain_text is not None]
ODD: list[Any] = [
    chat(role="assistant", content=""),
    chat(),
    chat(tool_calls=[{"index": 0, "function": {"arguments": '{"delta":{"content":"x"}}'}}]),
    {"choices": [{"delta": {"content": "a"}}, {"delta": {"content": "b"}}], "usage": None},
    {"choices": [{"text": '"text":"x"'}, {"text": 'y"delta":'}]},
    {"type": "ping"},
    {"type": "response.audio.delta", "delta": "aaaa"},
    {"type": "response.output_text.done", "text": '"delta":"x"'},
    {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "xx"}},
]
DIALECTS = {"openai.completions": ODD[4:6], "openai.responses": ODD[5:8], "anthropic.messages": ODD[5::3]}
"""What there is beside deltas of text; that of the others is that of `openai.chat`."""


def streams(reader: str) -> st.SearchStrategy[tuple[str, list[Any]]]:
    odd = DIALECTS.get(reader, ODD[:4])
    return st.tuples(st.just(reader), st.lists(WORDS | st.sampled_from(odd)))


@given(st.sampled_from(PLAIN).flatmap(streams))
def test_the_short_way_finds_what_decoding_finds(stream: tuple[str, list[Any]]) -> None:
    reader, told = stream
    texts = [a_text(reader), a_text(reader, plain=False)]
    for each in told:
        for text in texts:
            text.keep(event(compact(delta_of(reader, each) if isinstance(each, str) else each)))
    assert texts[0].tokens == texts[1].tokens


@given(st.lists(WORDS, min_size=1), st.booleans())
def test_tokens_are_those_of_the_deltas_alone(told: list[str], asked_each_time: bool) -> None:
    text = a_text()
    for each in told:
        text.keep(event(compact(chat(content=each)), newline=b"\r\n" if asked_each_time else b"\n"))
        assert not asked_each_time or text.tokens >= len(each.encode())
    assert text.tokens == len("".join(told).encode())


def test_what_is_kept_is_bounded() -> None:
    text = a_text()
    delta = event(compact(chat(content="x" * 100)))
    for _ in range(1000):
        text.keep(delta)
        assert sum(map(len, text._kept)) <= KEPT_MAX_BYTES
    assert text.tokens == 100_000


def test_an_event_that_is_not_of_the_api_counts_with_all_of_it() -> None:
    text = a_text()
    text.keep(b": a comment\n\n" + event(b"plain text") + event(b"[DONE]"))
    assert text.tokens == len(b"plain text")


def test_pieces_are_taken_apart_as_their_framing_says() -> None:
    assert list(EVENTS.events_in(b"data: a\n\ndata: b\n\n")) == [b"data: a", b"data: b"]
    assert [data_of(each) for each in EVENTS.events_in(b"data: a\r\n\r\ndata: b\r\n\r\n") if each] == [b"a", b"b"]
    assert list(LINES.events_in(b"{}\n{}\n")) == [b"{}", b"{}"]


def test_parts_that_are_no_text_are_joined_as_json() -> None:
    assert joined(["a", None, "", {"b": [1]}, "c"]) == 'a{"b":[1]}c'


def test_what_stands_around_the_text_of_an_event() -> None:
    event = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    around = PLAIN_TEXT.around(event)
    assert around is not None
    assert b"Hi".join(around) == event
    assert PLAIN_TEXT.around(event + event) is None
    assert PLAIN_TEXT.around(b"data: [DONE]\n\n") is None
