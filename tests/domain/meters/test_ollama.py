import pytest

from sidecar.domain.meters.ollama import Stream, read_json
from tests.domain.meters.golden_others import OLLAMA_EMBED_JSON, OLLAMA_EMBED_USAGE, OLLAMA_JSON, OLLAMA_USAGE


def test_json_answers() -> None:
    assert read_json(OLLAMA_JSON) == OLLAMA_USAGE
    assert read_json(OLLAMA_EMBED_JSON) == OLLAMA_EMBED_USAGE


@pytest.mark.parametrize(
    ("body", "reading"),
    [
        (b'{"done": true, "eval_count": 7}', (0, 7)),
        (b'{"done": true, "prompt_eval_count": 7}', (7, 0)),
        (b'{"done": true, "done_reason": "load"}', (0, 0)),
    ],
)
def test_a_count_that_is_left_out_is_nothing(body: bytes, reading: tuple[int, int]) -> None:
    assert read_json(body) == dict(zip(("input_tokens", "output_tokens", "duration_ns"), (*reading, 0), strict=True))


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"done": true}',
        b'{"done": false, "eval_count": 5}',
        b'{"done": true, "eval_count": -5}',
        b'{"done": true, "eval_count": 5, "total_duration": -1}',
        b'{"error": "model not found", "eval_count": 5}',
    ],
)
def test_what_counts_nothing_is_not_read(body: bytes) -> None:
    assert read_json(body) is None


def test_only_the_line_that_is_done_is_the_last_word() -> None:
    stream = Stream()
    stream.read(b'{"done": false, "eval_count": 5}')
    stream.read(b'{"eval_count": 5}')
    assert not stream.seen
    stream.read(b'{"done": true, "eval_count": 5}')
    assert (stream.seen, stream.final, stream.usage["output_tokens"]) == (True, True, 5)
    stream.read(b'{"error": "llama runner process has terminated"}')
    assert stream.failed
