import pytest

from sidecar.domain.meters.gemini import Stream, read_json
from tests.domain.meters.golden_others import GEMINI_ARRAY, GEMINI_JSON, GEMINI_USAGE, gemini_chunks


def read(usage: str) -> dict[str, object] | None:
    reading = read_json(f'{{"usageMetadata": {usage}}}'.encode())
    return None if reading is None else {meter: tokens for meter, tokens in reading.items() if tokens}


def test_each_token_is_in_one_meter() -> None:
    assert read_json(GEMINI_JSON) == GEMINI_USAGE
    assert sum(GEMINI_USAGE.values()) == 1225


def test_an_array_of_chunks_says_what_its_last_word_on_each_number_is() -> None:
    assert read_json(GEMINI_ARRAY) == GEMINI_USAGE
    first, second, _ = gemini_chunks()
    reading = read_json(b"[" + first + b"," + second + b"]")
    assert reading is not None
    assert (reading["input_tokens"], reading["output_tokens"]) == (1000, 160)
    assert read_json(b"[]") is None


HEARD = (
    '{"promptTokenCount": 10, "cachedContentTokenCount": 8,'
    ' "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10}]}'
)
SPOKEN = (
    '{"promptTokenCount": 10, "candidatesTokenCount": 6,'
    ' "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, {"modality": "TEXT"}]}'
)


@pytest.mark.parametrize(
    ("usage", "reading"),
    [
        ('{"promptTokenCount": 7}', {"input_tokens": 7}),
        ('{"promptTokenCount": 7, "thoughtsTokenCount": 9}', {"input_tokens": 7, "output_tokens": 9}),
        ('{"promptTokenCount": 7, "cachedContentTokenCount": 7}', {"cached_input_tokens": 7}),
        (
            HEARD,
            {"input_audio_tokens": 2, "cached_input_audio_tokens": 8},
        ),
        (
            SPOKEN,
            {"input_tokens": 10, "output_tokens": 2, "output_audio_tokens": 4},
        ),
    ],
)
def test_what_is_not_said_is_nothing(usage: str, reading: dict[str, object]) -> None:
    assert read(usage) == reading


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        '{"candidatesTokenCount": 5}',
        '{"promptTokenCount": -1}',
        '{"promptTokenCount": 5, "cachedContentTokenCount": 6}',
        '{"promptTokenCount": 5, "thoughtsTokenCount": -5}',
        '{"promptTokenCount": 5, "toolUsePromptTokenCount": -5}',
        '{"promptTokenCount": 5, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}]}',
        '{"promptTokenCount": 5, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 6}]}',
        '{"promptTokenCount": 5, "candidatesTokenCount": 9007199254740992}',
        '{"promptTokenCount": 5, "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}]}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    assert read(usage) is None


def test_an_array_that_ends_with_an_error_is_not_read() -> None:
    assert read_json(b"[" + GEMINI_JSON + b', {"error": {"code": 503}}]') is None


def test_only_a_reason_to_finish_is_the_last_word() -> None:
    stream = Stream()
    first, second, last = gemini_chunks()
    for chunk, final in ((first, False), (second, False), (last, True)):
        stream.read(chunk)
        assert (stream.seen, stream.final) == (True, final)
    stream.read(b'{"error": {"code": 503, "message": "overloaded"}}')
    assert stream.failed


def test_a_blocked_prompt_costs_its_input() -> None:
    body = b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 8}}'
    reading = read_json(body)
    assert reading is not None
    assert sum(reading.values()) == 8
