import pytest

from sidecar.domain.meters.openai import (
    EMBEDDINGS,
    RESPONSES,
    ResponseStream,
    read_embeddings,
    read_response,
)
from sidecar.domain.meters.reader import Silence
from tests.domain.meters.golden import (
    EMBEDDINGS_JSON,
    EMBEDDINGS_USAGE,
    RESPONSE_JSON,
    RESPONSE_USAGE,
)


def test_json_answers() -> None:
    assert read_response(RESPONSE_JSON) == RESPONSE_USAGE
    assert read_embeddings(EMBEDDINGS_JSON) == EMBEDDINGS_USAGE


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        '{"input_tokens": -1}',
        '{"input_tokens": "1"}',
        '{"input_tokens": 1, "output_tokens": 9007199254740992}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    assert read_response(f'{{"usage": {usage}}}'.encode()) is None
    assert read_embeddings(f'{{"usage": {usage.replace("input", "prompt").replace("1,", "-1,")}}}'.encode()) is None


def test_cached_tokens_are_inside_the_input() -> None:
    body = b'{"usage": {"input_tokens": 1, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 2}}}'
    assert read_response(body) is None


@pytest.mark.parametrize("ending", [b"completed", b"incomplete"])
def test_a_response_ends_with_its_usage(ending: bytes) -> None:
    stream = ResponseStream()
    stream.read(b'{"type": "response.created", "response": {"usage": null}}')
    assert not stream.seen
    stream.read(b'{"type": "response.%b", "response": %b}' % (ending, RESPONSE_JSON))
    assert (stream.usage, stream.seen, stream.final, stream.failed) == (RESPONSE_USAGE, True, True, False)


@pytest.mark.parametrize("event", [b'{"type": "response.failed", "response": {"usage": null}}', b'{"type": "error"}'])
def test_a_failed_response_says_so(event: bytes) -> None:
    stream = ResponseStream()
    stream.read(event)
    assert stream.failed
    assert not stream.seen


def test_events_that_cannot_be_read_say_nothing() -> None:
    for stream in (ResponseStream(), Silence()):
        stream.read(b'{"usage": ')
        assert (stream.usage, stream.seen, stream.final, stream.failed) == ({}, False, False, False)


def test_readers_report_the_meters_they_name() -> None:
    assert RESPONSES.meters == tuple(RESPONSE_USAGE)
    assert EMBEDDINGS.meters == tuple(EMBEDDINGS_USAGE)
