"""Tokens: what was signed can be read, and nothing else can."""

from itertools import product

import pytest

from sidecar.domain.tokens import HOLD, KEY_BYTES, HoldClaims, Signer

CLAIMS = HoldClaims(
    reservation_id="rsv_1_2",
    customer_id="cus_" + "0" * 26,
    parts=(("credits", 5), ("tokens", 7)),
    rule="chat",
    deadline_ms=1_700_000_000_000,
)


def signer(key: bytes = bytes(KEY_BYTES), tenant: str = "acme", environment: str = "live") -> Signer:
    return Signer(lambda: key, tenant=tenant, environment=environment)


def test_what_was_signed_is_read() -> None:
    token = signer().sign(HOLD, CLAIMS)
    assert signer().read(HOLD, token, HoldClaims) == CLAIMS
    assert len(token) < 150
    assert token.isascii()


@pytest.mark.parametrize(
    "reader",
    [signer(b"other" * 8), signer(tenant="other"), signer(environment="test")],
    ids=["key", "tenant", "environment"],
)
def test_another_reader_does_not_know_it(reader: Signer) -> None:
    assert reader.read(HOLD, signer().sign(HOLD, CLAIMS), HoldClaims) is None


def test_a_token_for_something_else_is_none() -> None:
    token = signer().sign("settle", CLAIMS)
    assert signer().read(HOLD, token, HoldClaims) is None
    assert signer().read(HOLD, token.replace("settle", HOLD), HoldClaims) is None


def test_no_character_can_be_changed() -> None:
    token = signer().sign(HOLD, CLAIMS)
    for at, other in product(range(len(token)), "Aa.-"):
        changed = token[:at] + other + token[at + 1 :]
        assert signer().read(HOLD, changed, HoldClaims) in ({None, CLAIMS} if changed == token else {None}), at


@pytest.mark.parametrize("text", ["", ".", "..", "hold..", "hold.a.b", "hold.é.x", "a" * 1000])
def test_what_is_no_token(text: str) -> None:
    assert signer().read(HOLD, text, HoldClaims) is None


def test_the_key_is_asked_for_when_it_is_needed_and_never_shown() -> None:
    asked = []

    def key() -> bytes:
        asked.append(1)
        return b"k" * KEY_BYTES

    lazy = Signer(key, tenant="acme", environment="live")
    assert "kkk" not in repr(lazy)
    assert not asked
    lazy.sign(HOLD, CLAIMS)
    lazy.sign(HOLD, CLAIMS)
    assert asked == [1]
