"""The text of a proxy key: ``sk_live_<26 characters of the customer id>_<43 characters of a secret>``.

It names its customer, so the partition is known without a look-up, and the reserve script checks its digest in the
customer's own record: one round trip, and a revoked key is dead at once.
"""

import base64
import hashlib
import re
from typing import Final

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import InvalidInput

SECRET_BYTES = 32
FEATURES_MAX: Final = 32
RATE_PERIOD_MAX_MS: Final = 86_400_000
NAMED: Final = r"[A-Za-z0-9_.-]{1,64}"
"""What a feature is called."""

_KEY = re.compile(
    r"sk_(?P<environment>[a-z]+)_(?P<customer>[0-7][0-9a-hjkmnp-tv-z]{25})_[A-Za-z0-9_-]{43}\Z", re.ASCII
)


class KeyRate(msgspec.Struct, frozen=True, kw_only=True):
    """So many requests in each period, and `burst` of them at once, which are not more."""

    requests: int
    period_ms: int
    burst: int


class KeyLimits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a proxy key may do, within what its customer may."""

    expires_at_ms: int | None = None
    """It works until then; None: for ever."""
    features: tuple[str, ...] | None = None
    """It may only be used where a rule has one of these features; None: wherever there is a rule."""
    rate: KeyRate | None = None


UNLIMITED: Final = KeyLimits()


def words(key_id: str, limits: KeyLimits) -> str:
    """What the store has of a key, for its scripts; of one without limits, its id alone."""
    if limits == UNLIMITED:
        return key_id
    ends_at_ms = MAX_AMOUNT if limits.expires_at_ms is None else limits.expires_at_ms
    features = "-" if limits.features is None else ",".join(limits.features)
    rate = limits.rate or KeyRate(requests=0, period_ms=0, burst=0)
    return f"{key_id} {ends_at_ms} {features} {rate.requests} {rate.period_ms} {rate.burst}"


def mint(environment: str, customer_id: str, secret: bytes) -> str:
    """The key of `customer_id` that carries `secret`, 32 random bytes."""
    if len(secret) != SECRET_BYTES:
        raise InvalidInput(f"A proxy key needs {SECRET_BYTES} random bytes; got {len(secret)}.")
    return f"sk_{environment}_{customer_id.removeprefix('cus_')}_{_base64url(secret)}"


def customer_id_of(text: str, environment: str) -> str | None:
    """The customer that a key names, or None when it is no key of this environment."""
    match = _KEY.match(text)
    return f"cus_{match['customer']}" if match is not None and match["environment"] == environment else None


def credential(text: str) -> str:
    """What the store keeps of a key, its SHA-256, and what `reserve` asks for.

    In base64url, so that it stays below the 64 bytes up to which Redis keeps a small hash compact.
    """
    return "key:" + _base64url(hashlib.sha256(text.encode()).digest())


def external_credential(external_id: str) -> str:
    """The same for an external id that a trusted front sends."""
    return "external:" + external_id


def external_id_of(credential_text: str) -> str:
    """The external id of such a credential; empty for a key's."""
    name, _, external_id = credential_text.partition(":")
    return external_id if name == "external" else ""


def hint(text: str) -> str:
    """What may be shown of a key: its recognisable start and its last 4 characters."""
    return f"{text[:12]}…{text[-4:]}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
