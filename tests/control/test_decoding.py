import pytest
from multidict import MultiDict

from sidecar.control import decoding
from sidecar.control.credit_schema import GrantCredits
from sidecar.control.customer_schema import CreateCustomer
from sidecar.control.key_schema import CreateKey
from sidecar.control.schema import Paging
from sidecar.domain.errors import InvalidInput


def test_an_empty_body_is_an_empty_object() -> None:
    assert decoding.body(b"", CreateKey) == CreateKey()


def test_a_body_is_checked_by_its_schema() -> None:
    assert decoding.body(b' {"credits": 5}\n', GrantCredits).credits == 5


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"external_id": 5}', "external_id"),
        (b'{"external_id": "a", "x": {}}', "x"),
        (b'{"external_id": "a", "a`b - at `$.c`": 1}', "a`b - at `$.c`"),
        (b'{"external_id": "a", "%s": 1}' % (b"x" * 500), "x" * 80 + "…"),
        (b'{"external_id": "a", "external_id": "b"}', "external_id"),
        (b"[" * 100_000, ""),
        (b'{"external_id": ' + b"[" * 100_000, "external_id"),
        (b"\xef\xbb\xbf{}", ""),
        (b"\xff", ""),
        (b"null", ""),
    ],
)
def test_a_bad_body_names_the_field(raw: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decoding.body(raw, CreateCustomer)
    assert caught.value.field == field
    assert len(caught.value.detail) < 300


def test_an_error_never_repeats_a_value() -> None:
    with pytest.raises(InvalidInput) as caught:
        decoding.body(b'{"credits": "hunter2"}', GrantCredits)
    assert "hunter2" not in caught.value.detail


def test_a_query_is_text_that_is_read_as_what_it_should_be() -> None:
    assert decoding.query(MultiDict(limit="7", cursor="7"), Paging) == Paging(limit=7, cursor="7")
    with pytest.raises(InvalidInput, match="more than once"):
        decoding.query(MultiDict([("limit", "1"), ("limit", "2")]), Paging)


@pytest.mark.parametrize(
    ("raw", "text"), [("a%2Fb", "a/b"), ("a%252Fb", "a%2Fb"), ("a%20b", "a b"), ("a+b", "a+b"), ("%C3%A9", "é")]
)
def test_a_segment_is_decoded_once(raw: str, text: str) -> None:
    assert decoding.path_segment(raw, "id") == text


@pytest.mark.parametrize("raw", ["%", "%2", "%zz", "%FF", "a%C3"])
def test_a_segment_that_is_no_text_is_refused(raw: str) -> None:
    with pytest.raises(InvalidInput):
        decoding.path_segment(raw, "id")
