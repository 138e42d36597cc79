"""Idempotency keys."""

import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.domain.once import Once


@pytest.mark.parametrize("key", ["a", "x" * 255, "with spaces ~!", "9b2e0d2c-7f3c-4a1e"])
def test_a_good_key(key: str) -> None:
    assert Once(key, "0af").key == key


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\n", "a\tb", "a\x7f"])
def test_a_bad_key_says_what_is_right(key: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 255 printable ASCII") as caught:
        Once(key, "0af")
    assert caught.value.field == "idempotency_key"


def test_a_fingerprint_is_ours_to_make_right() -> None:
    with pytest.raises(AssertionError):
        Once("a", "not hex")
