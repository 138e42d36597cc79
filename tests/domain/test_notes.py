import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.errors import InvalidInput
from sidecar.domain.notes import NO_NOTE, Note, note_of, told_apart

texts = st.dictionaries(st.text("aä.*+ =,\n🂡", min_size=1, max_size=9), st.text(max_size=9), max_size=3)


@settings(max_examples=30)
@given(texts, texts, st.none() | st.integers(0, 2**53 - 1))
def test_a_note_is_one_word_and_read_back(metadata: dict[str, str], asked: dict[str, str], at: int | None) -> None:
    note = Note(metadata=metadata, asked=asked, event_at_ms=at)
    assert note_of(note.word) == note
    assert not set(note.word) & set(" *+,\n")


def test_no_note_is_no_word() -> None:
    assert NO_NOTE.word == ""
    assert note_of("") is NO_NOTE


@pytest.mark.parametrize("word", ["x", "!!!!", "bm9uZQ=="])
def test_what_is_no_note_is_an_error(word: str) -> None:
    with pytest.raises(ValueError, match="no note"):
        note_of(word)


def test_an_entry_keeps_who_asked_and_metadata_apart() -> None:
    note = Note(metadata={"actor_id": "mine"}, asked={"actor_id": "shop"})
    assert told_apart(note.detail) == (note.asked, note.metadata)


def test_a_request_that_is_repeated_has_the_same_note() -> None:
    assert Note.of({}, {"request_id": "req_1", "reason": "r"}) == Note.of({}, {"request_id": "req_2", "reason": "r"})


def test_a_note_has_an_end() -> None:
    with pytest.raises(InvalidInput, match="6000"):
        Note.of({f"n{number}": "x" * 500 for number in range(20)}, {})
