import pytest

from sidecar.domain.meters.cohere import Stream, read_json
from tests.domain.meters.golden_others import COHERE_JSON, COHERE_USAGE


def test_what_is_billed_counts_not_what_the_model_saw() -> None:
    assert read_json(COHERE_JSON) == COHERE_USAGE


@pytest.mark.parametrize(
    "billed",
    [
        "null",
        "{}",
        '{"input_tokens": 1}',
        '{"input_tokens": 1.5, "output_tokens": 1}',
        '{"input_tokens": -1.0, "output_tokens": 1}',
        '{"input_tokens": 1e308, "output_tokens": 1}',
        '{"input_tokens": 1, "output_tokens": 1, "search_units": -1}',
        '{"input_tokens": 1, "output_tokens": ' + "9" * 400 + "}",
    ],
)
def test_usage_that_makes_no_sense_is_not_read(billed: str) -> None:
    usage = f'{{"billed_units": {billed}, "tokens": {{"input_tokens": 1, "output_tokens": 1}}}}'
    assert read_json(f'{{"usage": {usage}}}'.encode()) is None


def test_an_answer_that_failed_says_so_at_its_end() -> None:
    stream = Stream()
    stream.read(b'{"type": "message-end", "delta": {"error": "overloaded", "finish_reason": "ERROR"}}')
    assert (stream.failed, stream.seen, stream.usage) == (True, False, {})
    stream.read(b'{"type": "content-delta", "delta": {"message": "message-end"}}')
    assert not stream.seen
