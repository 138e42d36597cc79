import pytest

from sidecar.domain.meters.openai_images import Stream, read_json
from tests.domain.meters.golden_others import IMAGE_JSON, IMAGE_USAGE


def test_text_and_images_are_apart() -> None:
    assert read_json(IMAGE_JSON) == IMAGE_USAGE
    body = b'{"usage": {"input_tokens": 5, "output_tokens": 30, "output_tokens_details": {"text_tokens": 10}}}'
    assert read_json(body) == {
        "input_tokens": 5,
        "input_image_tokens": 0,
        "output_tokens": 20,
        "output_text_tokens": 10,
    }


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        '{"input_tokens": 5}',
        '{"input_tokens": 5, "output_tokens": -1}',
        '{"input_tokens": 5, "output_tokens": 1, "input_tokens_details": {"image_tokens": 6}}',
        '{"input_tokens": 5, "output_tokens": 1, "output_tokens_details": {"text_tokens": 2}}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    assert read_json(f'{{"usage": {usage}}}'.encode()) is None


def test_images_by_the_piece_report_nothing() -> None:
    assert read_json(b'{"created": 1, "data": [{"url": "https://x"}]}') is None


@pytest.mark.parametrize("event", [b'{"type": "error"}', b'{"type": "image_generation.failed"}'])
def test_an_error_in_the_stream_is_noticed(event: bytes) -> None:
    stream = Stream()
    stream.read(event)
    assert (stream.failed, stream.seen) == (True, False)
