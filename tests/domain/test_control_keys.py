"""The text of a control key, and when it works."""

import pytest
from msgspec.structs import replace

from sidecar.domain.control_keys import ControlKey, Principal, Retiring, digest, hint, key_id_of, mint
from sidecar.domain.ids import new_id
from sidecar.domain.scopes import ALL, OPERATORS, Scope

KEY_ID = new_id("ckey", 1_700_000_000_000, b"0123456789")
TEXT, FORMER = (mint("test", KEY_ID, byte * 32) for byte in (b"s", b"f"))
KEY = ControlKey(
    key_id=KEY_ID,
    tenant="acme",
    environment="test",
    name="",
    scopes=("credits:read",),
    digest=digest(TEXT),
    hint=hint(TEXT),
    created_at_ms=1,
    created_by="admin",
    expires_at_ms=100,
)


def test_a_key_names_its_record_and_its_environment() -> None:
    assert TEXT.startswith("ck_test_")
    assert key_id_of(TEXT) == KEY_ID
    assert KEY.principal(operator=False) == Principal(
        tenant="acme", environment="test", key_id=KEY_ID, scopes=frozenset({"credits:read"})
    )


@pytest.mark.parametrize("text", ["", "ck_live_", TEXT[:-1], TEXT + "x", TEXT + "\n", TEXT.upper(), f"s{TEXT[1:]}"])
def test_what_we_did_not_make_names_nothing(text: str) -> None:
    assert key_id_of(text) is None


def test_the_hint_has_all_but_the_secret() -> None:
    secret = TEXT.removeprefix(f"ck_test_{KEY_ID.removeprefix('ckey_')}_")
    assert hint(TEXT) == TEXT.removesuffix(secret) + "…" + secret[-4:]
    assert secret not in repr(KEY)


def test_a_key_is_its_secret_alone() -> None:
    assert KEY.is_secret(TEXT, 0)
    assert not KEY.is_secret(FORMER, 0)
    assert not KEY.is_secret("", 0)
    assert not KEY.is_secret("\udcff", 0)


def test_a_secret_that_is_retiring_works_until_then() -> None:
    key = replace(KEY, retiring=Retiring(digest=digest(FORMER), hint=hint(FORMER), ends_at_ms=50))
    assert [key.is_secret(FORMER, at_ms) for at_ms in (49, 50)] == [True, False]
    assert key.is_secret(TEXT, 50)


def test_a_key_works_until_it_ends() -> None:
    assert [KEY.status(at_ms) for at_ms in (99, 100)] == ["active", "expired"]
    assert replace(KEY, expires_at_ms=None).status(2**50) == "active"
    assert replace(KEY, revoked_at_ms=5).status(6) == "revoked"


def test_only_who_may_do_everything_may_do_everything() -> None:
    everything = replace(KEY, scopes=(ALL,))
    assert all(everything.principal(operator=True).may(scope) for scope in (ALL, *Scope))
    assert [scope for scope in (ALL, *Scope) if KEY.principal(operator=True).may(scope)] == ["credits:read"]


def test_tenants_are_the_operators_business() -> None:
    other = replace(KEY, scopes=(ALL, *Scope)).principal(operator=False)
    assert {scope for scope in Scope if not other.may(scope)} == OPERATORS == {"tenants:read", "tenants:write"}
