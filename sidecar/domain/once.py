"""What makes a write repeatable: the caller's idempotency key, and a fingerprint of what was asked."""

import re

import msgspec

from sidecar.domain.errors import InvalidInput

_KEY = re.compile(r"[\x20-\x7e]{1,255}\Z")
_FINGERPRINT = re.compile(r"[0-9a-f]{1,128}\Z")


class Once(msgspec.Struct, frozen=True):
    """An idempotency key with the fingerprint (hex digits) of the request that it was sent with."""

    key: str
    fingerprint: str

    def __post_init__(self) -> None:
        if _KEY.match(self.key) is None:
            raise InvalidInput(
                "An idempotency key must have 1 to 255 printable ASCII characters, for example a UUID.",
                "idempotency_key",
            )
        assert _FINGERPRINT.match(self.fingerprint), "a fingerprint is hex digits"
