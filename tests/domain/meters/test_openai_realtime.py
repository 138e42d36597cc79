"""Sessions as OpenAI documents them: usage of each response adds up; one that has not ended makes it unknown."""

import json

import pytest

from sidecar.domain.meters.openai_realtime import METERS, READER, RealtimeSession

DONE = {
    "type": "response.done",
    "event_id": "event_CCXLoKkpKVpEvYUJCmCSe",
    "response": {
        "object": "realtime.response",
        "id": "resp_CCXLlGdQyFsiCrv9YAgTR",
        "status": "completed",
        "usage": {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        },
    },
}
READ = {
    "input_tokens": 59,
    "input_audio_tokens": 9,
    "input_image_tokens": 0,
    "cached_input_tokens": 60,
    "cached_input_audio_tokens": 4,
    "output_tokens": 30,
    "output_audio_tokens": 91,
}
CREATED = {"type": "response.created", "response": {"usage": None}}


def session(*events: object) -> RealtimeSession:
    stream = RealtimeSession()
    for event in events:
        stream.read(json.dumps(event).encode())
    return stream


def test_every_token_is_in_one_meter() -> None:
    usage = session(CREATED, DONE).usage
    assert usage == READ
    assert sum(usage.values()) == DONE["response"]["usage"]["total_tokens"]  # type: ignore[index]


def test_responses_add_up() -> None:
    stream = session(CREATED, DONE, CREATED, DONE, {"type": "session.updated"})
    assert stream.usage == {meter: 2 * read for meter, read in READ.items()}
    assert stream.seen


def test_a_session_without_a_response_has_used_nothing() -> None:
    stream = session({"type": "session.created"})
    assert (stream.seen, stream.usage) == (True, dict.fromkeys(METERS, 0))


def test_a_response_that_has_not_ended_makes_it_unknown() -> None:
    assert not session(CREATED).seen
    assert not session(CREATED, DONE, CREATED).seen


def test_a_response_without_usage_used_nothing() -> None:
    failed = {"type": "response.done", "response": {"status": "failed", "usage": None}}
    assert session(CREATED, failed).seen


@pytest.mark.parametrize("tokens", [-1, 2**60])
def test_numbers_that_contradict_make_it_unknown(tokens: int) -> None:
    broken = {"type": "response.done", "response": {"usage": {"input_tokens": tokens}}}
    stream = session(broken, DONE)
    assert not stream.seen


def test_what_is_no_event_says_nothing() -> None:
    stream = RealtimeSession()
    stream.read(b"not json")
    assert stream.seen


def test_its_needles_are_in_what_it_reads() -> None:
    for event in (CREATED, DONE):
        assert any(needle in json.dumps(event).encode() for needle in READER.needles)
