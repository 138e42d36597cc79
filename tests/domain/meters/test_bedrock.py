import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.meters.bedrock import Stream, read_head, read_json
from tests.domain.meters import golden_bedrock as golden


def follow(*messages: bytes) -> Stream:
    stream = Stream()
    for message in messages:
        stream.read(message)
    return stream


def test_converse_reports_in_its_answer() -> None:
    assert read_json(golden.CONVERSE_JSON) == golden.CONVERSE_USAGE
    assert sum(golden.CONVERSE_USAGE.values()) == 2563


def test_invoke_reports_in_its_head() -> None:
    assert read_head(golden.INVOKE_HEAD) == golden.INVOKE_USAGE
    head: dict[bytes, bytes] = {name: each for name, each in golden.INVOKE_HEAD.items() if b"cache" not in name}
    reading = read_head(head)
    assert reading is not None
    assert sum(reading.values()) == 12 + 503


@pytest.mark.parametrize("name", [name for name in golden.INVOKE_HEAD if name.endswith(b"-token-count")])
@pytest.mark.parametrize("value", [b"", b"-1", b"nan", b"1e3", b"5, 6", b"99999999999999999999", b"\xff"])
def test_a_count_that_is_none_makes_the_head_unknown(name: bytes, value: bytes) -> None:
    head: dict[bytes, bytes] = {**golden.INVOKE_HEAD, name: value}
    assert read_head(head) is None


@pytest.mark.parametrize("name", [b"input", b"output"])
def test_a_head_without_both_counts_says_nothing(name: bytes) -> None:
    missing = b"x-amzn-bedrock-%b-token-count" % name
    head: dict[bytes, bytes] = {key: value for key, value in golden.INVOKE_HEAD.items() if key != missing}
    assert read_head(head) is None


@pytest.mark.parametrize(
    "usage",
    [
        "null",
        "{}",
        '{"inputTokens": 1}',
        '{"inputTokens": -1, "outputTokens": 1}',
        '{"inputTokens": 1, "outputTokens": 1, "cacheReadInputTokens": -1}',
        '{"inputTokens": 1, "outputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": 5}]}',
    ],
)
def test_usage_that_makes_no_sense_is_not_read(usage: str) -> None:
    text = f'{{"usage": {usage}}}'.encode()
    assert read_json(text) is None
    assert not follow(golden.event(b"metadata", text)).seen


@pytest.mark.parametrize(
    ("messages", "usage"),
    [(golden.converse_stream(), golden.CONVERSE_USAGE), (golden.invoke_stream(), golden.INVOKE_USAGE)],
)
def test_the_last_message_has_it_all(messages: list[bytes], usage: dict[str, int]) -> None:
    begun = follow(*messages[:-1])
    assert (begun.usage, begun.seen, begun.final) == ({}, False, False)
    whole = follow(*messages)
    assert (whole.usage, whole.seen, whole.final, whole.failed) == (usage, True, True, False)


def test_an_exception_in_the_stream_is_noticed() -> None:
    stream = follow(*golden.converse_stream()[:2], golden.exception(b"throttlingException"))
    assert (stream.failed, stream.seen) == (True, False)


@given(
    payload=st.binary(max_size=40) | st.sampled_from([b'{"bytes": "!"}', b'{"bytes": "eyJ4Ijox"}', b'{"usage": 1}'])
)
def test_any_payload_is_read_or_not(payload: bytes) -> None:
    assert not follow(golden.event(b"chunk", payload)).seen


@given(counts=st.lists(st.integers() | st.floats() | st.none() | st.text(max_size=3), min_size=4, max_size=4))
def test_absurd_metrics_are_never_read_as_less_than_nothing(counts: list[object]) -> None:
    stream = follow(*golden.invoke_stream(dict(zip(golden.METRICS, counts, strict=True)) | {"firstByteLatency": 1}))
    assert all(0 <= read <= MAX_AMOUNT for read in stream.usage.values())
