import pytest

from sidecar.domain.hold_terms import Term
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.reader import Reader


def test_the_names_are_part_of_the_language() -> None:
    assert set(READERS) == {"openai.chat", "openai.responses", "openai.embeddings", "anthropic.messages"}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_reader_is_consistent(reader: Reader) -> None:
    assert set(reader.falls_back) | set(reader.falls_back.values()) | set(reader.hold) <= set(reader.meters)
    for term in reader.hold.values():
        assert Term.parse(term).value({"body_bytes": 300}) >= 1
