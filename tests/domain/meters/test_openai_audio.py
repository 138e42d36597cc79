from fractions import Fraction
from typing import Any

import pytest

from sidecar.domain.meters.openai_audio import Stream, read_json
from tests.domain.meters.golden_others import TRANSCRIPT_JSON, TRANSCRIPT_USAGE


def test_sound_is_inside_the_input() -> None:
    assert read_json(TRANSCRIPT_JSON) == TRANSCRIPT_USAGE


@pytest.mark.parametrize(
    ("seconds", "reading"),
    [("9", 9), ("8.25", Fraction(33, 4)), ("0", 0), ("-1", None), ("1e308", None), ('"NaN"', None), ("null", None)],
)
def test_seconds_are_read_exactly_or_not_at_all(seconds: str, reading: Any) -> None:
    usage = f'{{"text": "Hi", "usage": {{"type": "duration", "seconds": {seconds}}}}}'
    assert read_json(usage.encode()) == (None if reading is None else {"seconds": reading})


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        '{"type": "tokens", "input_tokens": 1}',
        '{"type": "tokens", "input_tokens": 1, "output_tokens": 1, "input_token_details": {"audio_tokens": 2}}',
        '{"type": "tokens", "seconds": 3}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    assert read_json(f'{{"usage": {usage}}}'.encode()) is None


def test_an_error_in_the_stream_is_noticed() -> None:
    stream = Stream()
    stream.read(b'{"type": "error", "error": {}}')
    assert (stream.failed, stream.seen) == (True, False)
