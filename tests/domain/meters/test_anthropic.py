import pytest

from sidecar.domain.meters.anthropic import READER, Stream, read_json
from sidecar.domain.meters.events import EventBuffer, data_of
from tests.domain.meters.golden import MESSAGE_JSON, MESSAGE_USAGE, message_stream


def follow(stream: bytes) -> Stream:
    reading = Stream()
    for event in EventBuffer().add(stream):
        reading.read(data_of(event))
    return reading


def test_a_json_answer() -> None:
    assert read_json(MESSAGE_JSON) == MESSAGE_USAGE


def test_classes_of_input_stand_beside_each_other_and_add_up() -> None:
    assert sum(MESSAGE_USAGE.values()) == 12 + 248 + 1800 + 503


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        '{"input_tokens": 1}',
        '{"output_tokens": 1}',
        '{"input_tokens": -1, "output_tokens": 1}',
        '{"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": 1}}',
        '{"input_tokens": 1, "output_tokens": "1"}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    assert read_json(f'{{"usage": {usage}}}'.encode()) is None


@pytest.mark.parametrize("upto", [1, 2, 5])
def test_before_the_end_output_is_a_guess(upto: int) -> None:
    reading = follow(message_stream(upto=upto))
    assert (reading.seen, reading.final) == (False, False)
    assert reading.usage == MESSAGE_USAGE | {"output_tokens": 1}


@pytest.mark.parametrize(("upto", "output"), [(6, 15), (7, 503), (8, 503)])
def test_the_last_word_counts(upto: int, output: int) -> None:
    reading = follow(message_stream(upto=upto))
    assert (reading.seen, reading.final) == (True, True)
    assert reading.usage == MESSAGE_USAGE | {"output_tokens": output}


def test_message_stop_alone_ends_a_stream() -> None:
    reading = follow(message_stream(upto=1) + b'data: {"type": "message_stop"}\n\n')
    assert reading.final
    assert reading.usage["output_tokens"] == 1


def test_a_delta_may_correct_the_input() -> None:
    correction = b'data: {"type": "message_delta", "usage": {"input_tokens": 20, "output_tokens": 7}}\n\n'
    assert follow(message_stream(upto=1) + correction).usage == MESSAGE_USAGE | {
        "input_tokens": 20,
        "output_tokens": 7,
    }


def test_an_error_in_the_stream_is_noticed() -> None:
    reading = follow(message_stream(upto=3) + b'data: {"type": "error", "error": {"type": "overloaded_error"}}\n\n')
    assert reading.failed
    assert not reading.final


def test_events_that_cannot_be_read_say_nothing() -> None:
    reading = follow(b'data: {"type": \n\ndata: []\n\n')
    assert (reading.usage, reading.seen) == ({}, False)


def test_the_reader_reports_the_meters_it_names() -> None:
    assert READER.meters == tuple(MESSAGE_USAGE)
