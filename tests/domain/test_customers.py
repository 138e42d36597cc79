"""What may be said of a customer."""

import pytest

from sidecar.domain.customers import checked_external_id, checked_metadata, checked_name
from sidecar.domain.errors import InvalidInput


def test_names_are_in_one_form() -> None:
    assert checked_external_id("e\u0301") == "é"
    assert checked_name("", "display_name") == ""


@pytest.mark.parametrize("text", [" a", "a ", "a\nb", "a\0b", "\ud800", "x" * 256])
def test_what_cannot_be_told_apart_is_no_name(text: str) -> None:
    with pytest.raises(InvalidInput, match="external_id must"):
        checked_external_id(text)


def test_an_external_id_is_not_empty() -> None:
    with pytest.raises(InvalidInput, match="must not be empty"):
        checked_external_id("")


def test_metadata_has_an_order() -> None:
    assert list(checked_metadata({"b": "", "a": "x" * 500})) == ["a", "b"]


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({str(number): "" for number in range(51)}, "at most 50 names; got 51"),
        ({"": "x"}, "1 to 64 characters"),
        ({"n" * 65: "x"}, "1 to 64 characters"),
        ({"a\n": "x"}, "no control characters"),
        ({"a": "x" * 501}, "at most 500 characters"),
        ({"a": "\0"}, "no control characters"),
    ],
)
def test_metadata_is_small(metadata: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as raised:
        checked_metadata(metadata)
    assert raised.value.field == "metadata"
