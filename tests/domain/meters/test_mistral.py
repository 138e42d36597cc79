import pytest

from sidecar.domain.meters.mistral import Stream, read_json
from tests.domain.meters.golden_others import MISTRAL_JSON, MISTRAL_USAGE


def test_a_json_answer() -> None:
    assert read_json(MISTRAL_JSON) == MISTRAL_USAGE


@pytest.mark.parametrize("seconds", ["null", "{}", "0"])
def test_a_request_without_sound_has_no_seconds(seconds: str) -> None:
    reading = read_json(f'{{"usage": {{"prompt_tokens": 3, "prompt_audio_seconds": {seconds}}}}}'.encode())
    assert reading is not None
    assert (reading["input_tokens"], reading["input_audio_seconds"]) == (3, 0)


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        '{"prompt_tokens": -1}',
        '{"prompt_tokens": 1, "completion_tokens": -1}',
        '{"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2}}',
        '{"prompt_tokens": 1, "prompt_audio_seconds": -2}',
        '{"prompt_tokens": 1, "prompt_audio_seconds": {"a": 1}}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    assert read_json(f'{{"usage": {usage}}}'.encode()) is None


def test_usage_beside_a_reason_to_finish_is_the_last_word() -> None:
    stream = Stream()
    stream.read(b'{"choices": [{"finish_reason": null}], "usage": {"prompt_tokens": 3}}')
    assert (stream.seen, stream.final) == (True, False)
    stream.read(b'{"choices": [{"finish_reason": "length"}], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}')
    assert (stream.seen, stream.final, stream.usage["output_tokens"]) == (True, True, 5)
    stream.read(b'{"choices": [], "usage": {"prompt_tokens": -3}}')
    assert (stream.seen, stream.usage) == (False, {})
    stream.read(b'{"error": {"message": "x"}}')
    assert stream.failed
