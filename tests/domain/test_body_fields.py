import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.body_fields import BodyFields, count, field, whole


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        *((5, 5), (0, 0), (MAX_AMOUNT + 1, MAX_AMOUNT), (2**70, MAX_AMOUNT), (1e30, MAX_AMOUNT)),
        *(
            (-1, None),
            (True, None),
            (5.0, None),
            ("5", None),
            (None, None),
            ([1], None),
            ({}, None),
            (float("nan"), None),
        ),
    ],
)
def test_a_count_is_a_whole_number_or_missing(value: Any, seen: int | None) -> None:
    assert whole(value) == seen


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["n", "max_tokens", "model", "x"]), _VALUES))
def test_what_the_decoder_checks_is_what_whole_says(document: dict[str, Any]) -> None:
    body = json.dumps(document, allow_nan=False).encode() if _finite(document) else b"{}"
    sent = json.loads(body)
    record = BodyFields(["model"], ["n", "max_tokens"]).read(body)
    assert getattr(record, field("model")) == sent.get("model")
    for name in ("n", "max_tokens"):
        assert getattr(record, count(name)) == whole(sent.get(name))


def _finite(document: Any) -> bool:
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        return False
    return True


def test_a_name_goes_into_objects_and_can_be_read_both_ways() -> None:
    fields = BodyFields(["a.b", "n"], ["a.b", "n", "a_b"])
    record = fields.read(b'{"a":{"b":3},"n":"5","a_b":7,"x":{"n":1}}')
    assert (getattr(record, field("a.b")), getattr(record, count("a.b"))) == (3, 3)
    assert (getattr(record, field("n")), getattr(record, count("n"))) == ("5", None)
    assert getattr(record, count("a_b")) == 7
    odd: bytes
    for odd in (b'{"a":5}', b'{"a":[]}', b'{"a":{}}', b"{}"):
        assert fields.read(odd) == fields.nothing


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_not_read(body: bytes) -> None:
    for fields in (BodyFields(["model"], ["n"]), BodyFields(["a.b"], [])):
        assert fields.read(body) is None


@pytest.mark.parametrize(
    ("text", "seen"),
    [("7", 7), ("007", 7), ("9" * 40, MAX_AMOUNT), ("9007199254740992", MAX_AMOUNT), *((text, None) for text in (
        "", "-1", "1.5", "1e3", " 7", "7 ", "\u0667", "1_000", "true"))],
)  # fmt: skip
def test_fields_of_a_form_are_text_and_counts_in_digits(text: str, seen: int | None) -> None:
    fields = BodyFields({"n", "a.b"}, {"n", "m"})
    record = fields.of_text({"n": text})
    assert [getattr(record, name) for name in (field("n"), field("a.b"), count("n"), count("m"))] == [
        text,
        None,
        seen,
        None,
    ]
