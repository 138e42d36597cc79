"""Signed tokens: what a process of ours once knew of a reservation, told again by whoever kept it.

``<purpose>.<claims>.<seal>``: the claims can be read by anybody and changed by nobody who has not the key. Each
purpose, tenant and environment has a key of its own, derived from the one that is configured, so that a token is
never taken for what it is not. Whether its deadline has passed is for the reader to say: there is no clock here.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from functools import cached_property
from typing import Final, TypeVar

import msgspec

KEY_BYTES: Final = 32
_SEAL_BYTES: Final = 16

HOLD: Final = "hold"
"""The purpose of a token that says that a hold was taken, whatever the store remembers."""

SETTLE: Final = "settle"
"""The purpose of a token by which an upstream settles one reservation."""

_C = TypeVar("_C", bound=msgspec.Struct)


class HoldClaims(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A hold as it was taken. Amounts are base units."""

    reservation_id: str
    customer_id: str
    parts: tuple[tuple[str, int], ...]
    """Units and amounts."""
    rule: str
    deadline_ms: int
    """Unix time, by the clock of who took it; it may have been prolonged since."""


class Signer:
    """Signs and reads the tokens of one tenant's environment. `key` is asked for when the first one is needed."""

    def __init__(self, key: Callable[[], bytes], *, tenant: str, environment: str) -> None:
        self._ask = key
        self._place = f"{tenant}/{environment}"

    def sign(self, purpose: str, claims: msgspec.Struct) -> str:
        """The token that says `claims`."""
        told = _text(msgspec.msgpack.encode(claims))
        return f"{purpose}.{told}.{self._seal(purpose, told)}"

    def read(self, purpose: str, token: str, kind: type[_C]) -> _C | None:
        """What a token says; None for one that we did not sign for this purpose."""
        named, _, rest = token.partition(".")
        told, _, seal = rest.partition(".")
        if not token.isascii() or named != purpose or not hmac.compare_digest(self._seal(purpose, told), seal):
            return None
        return msgspec.msgpack.decode(base64.urlsafe_b64decode(told + "=" * (-len(told) % 4)), type=kind)

    @cached_property
    def _key(self) -> bytes:
        return self._ask()

    def _seal(self, purpose: str, told: str) -> str:
        key = hmac.digest(self._key, f"{self._place}/{purpose}".encode(), hashlib.sha256)
        return _text(hmac.digest(key, told.encode(), hashlib.sha256)[:_SEAL_BYTES])

    def __repr__(self) -> str:
        return f"Signer({self._place!r})"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
