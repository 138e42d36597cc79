"""Control keys: ``ck_live_<26 characters of the key's id>_<43 characters of a secret>``, and whom they stand for.

A key names its own record, so that finding it is one look-up, and what it shows is compared with a digest. The first
key, which the operator sets, has no record: it is whatever `admin.key` says.
"""

import base64
import hashlib
import hmac
import re
from typing import Final

import msgspec

from sidecar.domain.scopes import ALL, OPERATORS, Scope

SECRET_BYTES: Final = 32
ADMIN_KEY_ID: Final = "admin"
"""What the operator's own key is called."""

LEAST: Final = (Scope.CUSTOMERS_READ.value, Scope.CREDITS_READ.value, Scope.ENTITLEMENTS_READ.value)
"""The scopes of a key that is made without any: it changes nothing."""

_SECRET_CHARS: Final = 43
_KEY = re.compile(r"ck_(?P<environment>live|test)_(?P<id>[0-7][0-9a-hjkmnp-tv-z]{25})_[A-Za-z0-9_-]{43}\Z", re.ASCII)
_PREFIX = "ckey_"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: a key, what it may do, and the one place where it may do it."""

    tenant: str
    environment: str
    key_id: str
    scopes: frozenset[str]
    operator: bool = False
    """Whether this is the operator's own environment, where tenants are made."""

    def may(self, scope: str) -> bool:
        """Whether it holds a scope; `ALL` only if it holds all."""
        if scope in OPERATORS and not self.operator:
            return False
        return ALL in self.scopes or scope in self.scopes


class Retiring(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that a rotation replaced: it works for a while beside the new one."""

    digest: str
    hint: str
    ends_at_ms: int


class ControlKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept: never its secret."""

    key_id: str
    tenant: str
    environment: str
    name: str
    scopes: tuple[str, ...]
    digest: str
    hint: str
    created_at_ms: int
    created_by: str
    """The id of the key that made it."""
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    rotated_at_ms: int | None = None
    retiring: Retiring | None = None

    def principal(self, *, operator: bool) -> Principal:
        """Whom it stands for."""
        return Principal(
            tenant=self.tenant,
            environment=self.environment,
            key_id=self.key_id,
            scopes=frozenset(self.scopes),
            operator=operator,
        )

    def status(self, now_ms: int) -> str:
        """Whether it works: active, expired or revoked."""
        if self.revoked_at_ms is not None:
            return "revoked"
        return "expired" if self.expires_at_ms is not None and now_ms >= self.expires_at_ms else "active"

    def is_secret(self, text: str, now_ms: int) -> bool:
        """Whether `text` is this key, with its secret or the one that is retiring; in constant time."""
        shown, retiring = digest(text), self.retiring
        current = hmac.compare_digest(shown, self.digest)
        former = hmac.compare_digest(shown, retiring.digest if retiring else "")
        return current or (former and retiring is not None and now_ms < retiring.ends_at_ms)


def mint(environment: str, key_id: str, secret: bytes) -> str:
    """The text of a key: `secret` is 32 random bytes."""
    assert len(secret) == SECRET_BYTES, "a short secret could be guessed"
    return f"ck_{environment}_{key_id.removeprefix(_PREFIX)}_{_base64url(secret)}"


def key_id_of(text: str) -> str | None:
    """The key that a text says that it is, or None when it is none that we have made."""
    match = _KEY.match(text)
    return None if match is None else f"{_PREFIX}{match['id']}"


def digest(text: str) -> str:
    """What is kept of a key. It has 256 random bits, so that one round of SHA-256 is enough."""
    return _base64url(hashlib.sha256(text.encode(errors="surrogateescape")).digest())


def hint(text: str) -> str:
    """What may be shown of a key: all but its secret, of which only the last 4 characters."""
    return f"{text[:-_SECRET_CHARS]}…{text[-4:]}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
