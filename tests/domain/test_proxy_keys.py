"""The text of proxy keys."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import new_id
from sidecar.domain.proxy_keys import (
    SECRET_BYTES,
    KeyLimits,
    KeyRate,
    credential,
    customer_id_of,
    hint,
    mint,
    words,
)

CUSTOMER = new_id("cus", 1_700_000_000_000, b"0123456789")
KEY = mint("live", CUSTOMER, bytes(range(SECRET_BYTES)))


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES), st.binary(min_size=10, max_size=10))
def test_a_key_names_its_customer(secret: bytes, entropy: bytes) -> None:
    customer_id = new_id("cus", 1, entropy)
    assert customer_id_of(mint("test", customer_id, secret), "test") == customer_id


def test_a_key_looks_like_one() -> None:
    prefix, environment, customer, secret = KEY.split("_", 3)
    assert (prefix, environment, customer) == ("sk", "live", CUSTOMER.removeprefix("cus_"))
    assert secret == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@pytest.mark.parametrize(
    "text", ["", "sk_live_", KEY[:-1], KEY + "A", KEY + "\n", KEY.upper(), KEY.replace("sk_", "ck_"), KEY[:-1] + "é"]
)
def test_what_is_no_key_names_nobody(text: str) -> None:
    assert customer_id_of(text, "live") is None


def test_a_key_of_another_environment_names_nobody() -> None:
    assert customer_id_of(KEY, "test") is None


def test_the_credential_is_a_digest_that_redis_keeps_compact() -> None:
    digest = base64.urlsafe_b64encode(hashlib.sha256(KEY.encode()).digest()).decode().rstrip("=")
    assert credential(KEY) == f"key:{digest}"
    assert len(credential(KEY)) <= 64


def test_a_hint_shows_too_little_to_be_used() -> None:
    assert hint(KEY) == f"{KEY[:12]}…{KEY[-4:]}"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(InvalidInput, match="32 random bytes"):
        mint("live", CUSTOMER, b"short")


def test_the_store_is_told_of_limits_only() -> None:
    assert words("key_1", KeyLimits()) == "key_1"
    assert words("key_1", KeyLimits(expires_at_ms=5)) == "key_1 5 - 0 0 0"
    assert words("key_1", KeyLimits(features=("a", "b"))) == f"key_1 {MAX_AMOUNT} a,b 0 0 0"
    rate = KeyRate(requests=3, period_ms=1000, burst=2)
    assert words("key_1", KeyLimits(rate=rate)) == f"key_1 {MAX_AMOUNT} - 3 1000 2"
