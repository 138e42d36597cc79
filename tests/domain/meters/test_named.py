import pytest

from sidecar.domain.body_fields import BodyFields
from sidecar.domain.hold_terms import Term, estimator
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.reader import Reader


def test_the_names_are_part_of_the_language() -> None:
    assert set(READERS) == {
        *("openai.chat", "openai.responses", "openai.completions", "openai.embeddings"),
        *("openai.images", "openai.audio", "openai.realtime", "anthropic.messages", "google.gemini"),
        *("mistral.chat", "cohere.chat", "bedrock", "ollama"),
    }


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_reader_is_consistent(reader: Reader) -> None:
    names = (set(reader.falls_back), set(reader.falls_back.values()), set(reader.hold), set(reader.apart))
    assert set().union(*names) <= set(reader.meters)
    terms = {meter: Term.parse(text) for meter, text in reader.hold.items()}
    request = BodyFields((), {name for term in terms.values() for name in term.fields}).nothing
    assert all(tokens >= 1 for tokens in estimator(terms)(request, 3000).values())
