"""The contract of every named reader, on golden answers: JSON or events, the same reading."""

import msgspec
import pytest

from sidecar.domain.meters.body import FRAMES, LINES, Framing, framing_of
from sidecar.domain.meters.events import EventBuffer, data_of
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.reader import over, sound
from tests.domain.meters import corpus
from tests.domain.meters.corpus import EVENT_STREAMS, WHOLE, Events, Golden


@pytest.mark.parametrize("answer", WHOLE, ids=lambda answer: answer.name)
def test_json(answer: Golden) -> None:
    reader = READERS[answer.reader]
    assert reader.read_json(answer.body) == answer.usage
    assert reader.read_json(answer.body.rstrip()[:-1]) is None


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("events", EVENT_STREAMS, ids=lambda events: events.name)
def test_events_that_hold_a_needle_are_all_that_matters(events: Events, newline: bytes) -> None:
    reader = READERS[events.reader]
    reading = reader.open_stream()
    for event in EventBuffer().add(events.stream(newline)):
        if any(needle in event for needle in reader.needles):
            reading.read(data_of(event))
    # Usage beside a choice may be followed by more of it, until the stream has ended.
    final = not events.name.endswith(" beside")
    assert (reading.usage, reading.seen, reading.final, reading.failed) == (events.usage, True, final, False)


ANSWERING = [name for name, reader in READERS.items() if reader.open_messages is None]
"""Sessions over WebSockets have no answers: see test_openai_realtime.py."""


@pytest.mark.parametrize("name", ANSWERING)
def test_every_reader_has_golden_answers_of_each_kind(name: str) -> None:
    assert any(answer.reader == name for answer in WHOLE)
    assert any(answer.reader == name for answer in corpus.STREAMS) or name == "openai.embeddings"


@pytest.mark.parametrize("name", ANSWERING)
def test_golden_answers_have_all_meters_of_a_reader_between_them(name: str) -> None:
    read = {meter for answer in corpus.ALL if answer.reader == name for meter in answer.usage}
    assert read - set(READERS[name].meters) == set()
    assert set(READERS[name].meters) - read <= {"input_audio_tokens", "output_audio_tokens"}


def test_numbers_that_usage_cannot_be_are_unsound() -> None:
    assert sound({"a": 0, "b": 2**53 - 1}) == {"a": 0, "b": 2**53 - 1}
    assert sound({"a": 1, "b": -1}) is None
    assert sound({"a": 2**53}) is None
    assert sound({}) == {}


def test_the_latest_word_on_each_field_counts() -> None:
    said = msgspec.defstruct("said", ["a", "b"])
    assert over(said(1, None), said(2, 3)) == said(1, 3)


@pytest.mark.parametrize(
    ("content_type", "framing"),
    [
        (b"Application/X-NDJSON; charset=utf-8", LINES),
        (b"application/vnd.amazon.eventstream", FRAMES),
        (b"application/json", None),
        (b"", None),
    ],
)
def test_how_an_answer_is_cut_is_what_its_head_says(content_type: bytes, framing: Framing | None) -> None:
    assert framing_of(content_type) is framing
