"""Keys of requests that are repeated, as clients write them, and what tells one request from another."""

import pytest

from sidecar.domain.idempotency import Idempotency, KeyRefused, OnRepeat, keyed, read_key
from sidecar.domain.outcomes import RefusalCode

OPTIONAL = Idempotency(on_repeat=OnRepeat.CHARGE_ONCE)
REQUIRED = Idempotency(on_repeat=OnRepeat.CHARGE_ONCE, required=True)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"8e03978e", b"8e03978e"),
        (b'"8e03978e"', b"8e03978e"),
        (rb'"a \"b\" \\"', rb'a "b" \ '.strip()),
        (b'"half', b'"half'),
        (b"k" * 255, b"k" * 255),
        (None, b""),
    ],
)
def test_a_key_in_quotes_or_not(value: bytes | None, key: bytes) -> None:
    assert read_key(OPTIONAL, value) == key


@pytest.mark.parametrize("value", [b"", b'""', b"k" * 256, b"caf\xc3\xa9", b"a\tb"])
def test_a_key_that_cannot_be_one(value: bytes) -> None:
    refused = read_key(OPTIONAL, value)
    assert isinstance(refused, KeyRefused)
    assert refused.code is RefusalCode.IDEMPOTENCY_KEY_INVALID


def test_a_key_that_is_missing() -> None:
    refused = read_key(REQUIRED, None)
    assert isinstance(refused, KeyRefused)
    assert refused.code is RefusalCode.IDEMPOTENCY_KEY_REQUIRED
    assert "`idempotency-key`" in refused.detail


def test_rule_and_key_are_the_name_and_the_rest_is_the_mark() -> None:
    first = keyed("chat", b"k", b"POST", b"/a", b"", (2, b"{}"))
    assert keyed("chat", b"k", b"POST", b"/a", b"", (2, b"{}")) == first
    for rule, key in (("chat", b"l"), ("talk", b"k")):
        other = keyed(rule, key, b"POST", b"/a", b"", (2, b"{}"))
        assert (other.name != first.name, other.fingerprint) == (True, first.fingerprint)
    for method, path, query, body in (
        (b"PUT", b"/a", b"", (2, b"{}")),
        (b"POST", b"/b", b"", (2, b"{}")),
        (b"POST", b"/a", b"x", (2, b"{}")),
        (b"POST", b"/a", b"", (2, b"[]")),
        (b"POST", b"/a", b"", (3, b"{}")),
    ):
        other = keyed("chat", b"k", method, path, query, body)
        assert (other.name, other.fingerprint != first.fingerprint) == (first.name, True)
