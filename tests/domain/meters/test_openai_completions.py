from sidecar.domain.body_fields import BodyFields
from sidecar.domain.hold_terms import Term, estimator
from sidecar.domain.meters.openai_completions import READER
from tests.domain.meters.golden_others import COMPLETION_JSON, COMPLETION_USAGE


def test_usage_is_as_in_chat_and_asked_for() -> None:
    assert READER.read_json(COMPLETION_JSON) == COMPLETION_USAGE
    assert READER.asks


def test_what_is_not_said_is_what_the_api_takes() -> None:
    terms = {meter: Term.parse(text) for meter, text in READER.hold.items()}
    fields = BodyFields((), {name for term in terms.values() for name in term.fields})
    outputs = {
        text: estimator(terms)(fields.read(text), 30)["output_tokens"]
        for text in (b"{}", b'{"max_tokens": 50, "n": 2}', b'{"max_tokens": 50, "n": 2, "best_of": 4}')
    }
    assert list(outputs.values()) == [16, 100, 200]
