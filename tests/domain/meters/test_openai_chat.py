import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.meters.events import EVENT_MAX_BYTES
from sidecar.domain.meters.openai_chat import (
    HidingBody,
    Stream,
    ask_for_usage,
    asks_for_usage,
    is_chunk_with_null,
    read_json,
)
from sidecar.domain.price import Number
from tests.domain.meters.golden import CHAT_JSON, CHAT_USAGE, chat_stream


def hidden(stream: bytes, bounds: list[int]) -> tuple[bytes, HidingBody]:
    body = HidingBody()
    ends = [0, *sorted(min(at, len(stream)) for at in bounds), len(stream)]
    shown = [body.feed(stream[start:end]) for start, end in pairwise(ends)]
    return b"".join(shown) + body.flush(), body


def test_a_json_answer() -> None:
    assert read_json(CHAT_JSON) == CHAT_USAGE


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        "[]",
        "5",
        '{"prompt_tokens": -1}',
        '{"prompt_tokens": 1, "completion_tokens": -1}',
        '{"prompt_tokens": "1"}',
        '{"prompt_tokens": 1.5}',
        '{"prompt_tokens": true}',
        '{"prompt_tokens": 1e308}',
        '{"prompt_tokens": 9007199254740992}',
        '{"prompt_tokens": 99999999999999999999999}',
        '{"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}',
        '{"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -2}}',
        '{"prompt_tokens": NaN}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    assert read_json(f'{{"usage": {usage}}}'.encode()) is None
    stream = Stream()
    stream.read(f'{{"choices": [], "usage": {usage}}}'.encode())
    assert (stream.usage, stream.seen, stream.final) == ({}, False, False)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"<html>"])
def test_what_is_no_answer_is_not_read(body: bytes) -> None:
    assert read_json(body) is None


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("done", [True, False])
@given(bounds=st.lists(st.integers(0, 1200), max_size=8))
def test_any_split_hides_what_only_we_asked_for(newline: bytes, done: bool, bounds: list[int]) -> None:
    shown, body = hidden(chat_stream(newline, asked=True, done=done), bounds)
    assert shown == chat_stream(newline, asked=False, done=done)
    assert body.result(whole=False) == (CHAT_USAGE, True)


def test_one_event_at_a_time() -> None:
    body, asked = HidingBody(), chat_stream(asked=True)
    events = [event + b"\n\n" for event in asked.split(b"\n\n")[:-1]]
    assert b"".join(map(body.feed, events)) == chat_stream(asked=False)
    assert body.result(whole=True) == (CHAT_USAGE, True)


def test_split_at_every_byte() -> None:
    stream = chat_stream(b"\r\n", asked=True)
    shown, body = hidden(stream, list(range(len(stream))))
    assert shown == chat_stream(b"\r\n", asked=False)
    assert body.result(whole=True) == (CHAT_USAGE, True)


def test_events_without_usage_pass_as_the_same_object() -> None:
    body, piece = HidingBody(), chat_stream(asked=False)
    assert body.feed(piece) is piece
    assert body.result(whole=True) == ({}, False)


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (b'{"choices": [1], "usage": null}', b'{"choices": [1]}'),
        (b'{"usage": null, "choices": [1]}', b'{"choices": [1]}'),
        (b'{"choices": [1], "usage" : null, "x": 1}', b'{"choices": [1], "x": 1}'),
        (b'{"usage":null}', b"{}"),
        (b'{"choices":[{"usage":null}],"usage":null}', b'{"choices":[{"usage":null}]}'),
        (b'{"usage":null,"choices":[{"usage":null}]}', b'{"choices":[{"usage":null}]}'),
        (b'{"choices":[{"usage":null}]}', b'{"choices":[{"usage":null}]}'),
        (b'{"choices":[1],"usage":{"prompt_tokens":1}}', b'{"choices":[1],"usage":{"prompt_tokens":1}}'),
        (b'{"choices":[1],"usage":{"prompt_tokens":-1}}', b'{"choices":[1],"usage":{"prompt_tokens":-1}}'),
        (b'{"usage"', b'{"usage"'),
    ],
)
def test_only_the_outer_null_is_taken_out(event: bytes, shown: bytes) -> None:
    assert hidden(b"data: " + event + b"\n\n", [])[0] == b"data: " + shown + b"\n\n"


@pytest.mark.parametrize(
    ("piece", "is_one"),
    [
        (b'data: {"choices":[1],"usage":null}\n\n', True),
        (b'data: {"choices":[1],"usage":{"prompt_tokens":1}}\n\n', False),
        (b'data: {"choices":[1],"usage":null}\n\ndata: {"choices":[1],"usage":null}\n\n', False),
        (b'data: {"usage":{"prompt_tokens":1},\ndata: "choices":[],"usage":null}\n\n', False),
        (b'data: {"usage":{"prompt_tokens":1},"usage":null}\n\n', False),
        (b'data: {"error":{},"usage":null}\n\n', False),
        (b'data: {"choices":[1],\rdata: "usage":null}\n\n', False),
        (b'event: x\ndata: {"choices":[1],"usage":null}\n\n', False),
    ],
)
def test_a_chunk_that_only_says_null_is_known_at_a_glance(piece: bytes, is_one: bool) -> None:
    assert is_chunk_with_null(piece) is is_one


def test_an_event_too_large_passes_and_ends_the_reading() -> None:
    huge = b'data: {"usage"' + b"x" * EVENT_MAX_BYTES
    shown, body = hidden(huge + b"\n\n" + chat_stream(asked=True), [len(huge)])
    assert shown == huge + b"\n\n" + chat_stream(asked=True)
    assert body.result(whole=True) == ({}, False)


def test_an_error_in_the_stream_is_noticed() -> None:
    event = b'data: {"error": {"message": "overloaded"}}\n\n'
    shown, body = hidden(event, [])
    assert shown == event
    assert body.failed
    assert not hidden(b'data: {"error": null}\n\n', [])[1].failed


def test_usage_beside_choices_is_final_only_at_the_end() -> None:
    stream = Stream()
    stream.read(b'{"choices": [{}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}')
    assert (stream.seen, stream.final) == (True, False)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ('{"stream":true}', '{"stream_options":{"include_usage":true},"stream":true}'),
        (' {\n "stream" : true }', ' {"stream_options":{"include_usage":true},\n "stream" : true }'),
        ('{"stream":true,"stream_options":null}', '{"stream":true,"stream_options":{"include_usage":true}}'),
        ('{"stream":true,"stream_options":{}}', '{"stream":true,"stream_options":{"include_usage":true}}'),
        (
            '{"stream":true,"stream_options":{"include_obfuscation":false}}',
            '{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
        ),
        (
            '{"stream":true,"stream_options":{"include_usage":false},"n":1}',
            '{"stream":true,"stream_options":{"include_usage":true},"n":1}',
        ),
        (
            '{"stream_options":{},"stream":true,"stream_options":{"include_usage":null}}',
            '{"stream_options":{},"stream":true,"stream_options":{"include_usage":true}}',
        ),
        (
            '{"stream":true,"tools":[{"stream_options":{}}]}',
            '{"stream_options":{"include_usage":true},"stream":true,"tools":[{"stream_options":{}}]}',
        ),
        (
            '{"stream":true,"stream\\u005foptions":{}}',
            '{"stream":true,"stream\\u005foptions":{"include_usage":true}}',
        ),
    ],
)
def test_a_request_is_made_to_ask(body: str, asked: str) -> None:
    assert ask_for_usage(body.encode()) == asked.encode()
    assert asks_for_usage(json.loads(asked)["stream_options"])


def test_options_that_are_no_object_are_left_to_the_upstream() -> None:
    assert ask_for_usage(b'{"stream":true,"stream_options":5}') is None


_MEMBERS = st.dictionaries(
    st.text(max_size=6), st.text(max_size=6) | st.none() | st.lists(st.integers(), max_size=2), max_size=4
)


@given(
    _MEMBERS,
    st.none() | st.dictionaries(st.sampled_from(["include_usage", "x"]), st.booleans()),
    st.sampled_from([None, 1]),
)
def test_asking_changes_nothing_else(
    members: dict[str, Any], stream_options: dict[str, bool] | None, indent: int | None
) -> None:
    request = {**members, "stream": True, "stream_options": stream_options}
    asked = ask_for_usage(json.dumps(request, indent=indent).encode())
    assert asked is not None
    assert json.loads(asked) == request | {"stream_options": (stream_options or {}) | {"include_usage": True}}


def chat_usage(usage: str) -> dict[str, Number] | None:
    return read_json(f'{{"usage": {usage}}}'.encode())


def test_audio_is_inside_prompt_and_completion() -> None:
    usage = (
        '{"prompt_tokens": 100, "completion_tokens": 60, "total_tokens": 160, '
        '"prompt_tokens_details": {"audio_tokens": 70, "cached_tokens": 20}, '
        '"completion_tokens_details": {"audio_tokens": 45}}'
    )
    assert chat_usage(usage) == {
        "input_tokens": 10,
        "input_audio_tokens": 70,
        "cached_input_tokens": 20,
        "output_tokens": 15,
        "output_audio_tokens": 45,
    }


def test_a_token_that_is_both_audio_and_cached_counts_once() -> None:
    usage = '{"prompt_tokens": 100, "prompt_tokens_details": {"audio_tokens": 70, "cached_tokens": 50}}'
    reading = chat_usage(usage)
    assert reading is not None
    assert sum(reading.values()) == 100


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens": 5, "prompt_tokens_details": {"audio_tokens": 6}}',
        '{"prompt_tokens": 5, "completion_tokens_details": {"audio_tokens": 1}}',
        '{"prompt_tokens": 5, "completion_tokens": 3, "completion_tokens_details": {"audio_tokens": -1}}',
        '{"prompt_tokens": 5, "total_tokens": 9007199254740999}',
    ],
)
def test_classes_that_contradict_their_sum_are_not_read(usage: str) -> None:
    assert chat_usage(usage) is None


def test_reasoning_beside_the_completion_is_output_as_well() -> None:
    usage = (
        '{"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1725, '
        '"completion_tokens_details": {"reasoning_tokens": 865}}'
    )
    assert chat_usage(usage) == {"input_tokens": 758, "cached_input_tokens": 0, "output_tokens": 967}
