"""What a rule does with requests that their clients repeat: the key that names one, and the mark of what was asked.

A repetition is told by its key (draft-ietf-httpapi-idempotency-key-header), within one customer and one rule. Whether
it asks for the same is told by the fingerprint; whether the first was charged, by the ledger.
"""

import hashlib
import re
from enum import StrEnum

import msgspec

from sidecar.domain.outcomes import RefusalCode

REPEATS_MAX = 10
"""Repetitions that are forwarded for what was charged already; the next is a request of its own."""
ANSWER_MAX_BYTES = 65_536
"""Larger bodies of answers are not kept."""
ANSWERS_MAX_BYTES = 16_777_216
"""Of one customer."""
_KEY = re.compile(rb"[\x20-\x7e]{1,255}\Z")
_QUOTED = re.compile(rb'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"\Z')
_ESCAPED = re.compile(rb"\\(.)")


class OnRepeat(StrEnum):
    """What becomes of a request that was charged already."""

    CHARGE_ONCE = "charge_once"
    """It is forwarded again, and costs what it comes to beyond the first."""
    REPLAY = "replay"
    """It gets the answer of the first, if that was kept."""


class Idempotency(msgspec.Struct, frozen=True, kw_only=True):
    """How a rule tells repetitions. `header` is in lower case; `required`: a request without a key is refused.

    A key is known for `keep_ms` from the last charge on.
    """

    on_repeat: OnRepeat
    header: bytes = b"idempotency-key"
    required: bool = False
    keep_ms: int = 86_400_000


class KeyRefused(msgspec.Struct, frozen=True):
    """The request may not pass because of its key. `detail` is a sentence for the caller."""

    code: RefusalCode
    detail: str


class Keyed(msgspec.Struct, frozen=True):
    """A request with a key, for the store: which one of its customer's (`name`), and what it asks, both in hex."""

    name: str
    fingerprint: str
    feature: str = ""


def read_key(idempotency: Idempotency, value: bytes | None) -> bytes | KeyRefused:
    """The key in a header with this value, quoted or not; empty without one."""
    header = idempotency.header.decode()
    if value is None:
        if not idempotency.required:
            return b""
        detail = f"Send the header `{header}` with a key of your own for each new request, for example a UUID."
        return KeyRefused(RefusalCode.IDEMPOTENCY_KEY_REQUIRED, detail)
    quoted = _QUOTED.match(value)
    key = _ESCAPED.sub(rb"\1", quoted[1]) if quoted is not None else value
    if _KEY.match(key) is None:
        detail = f"The header `{header}` must have 1 to 255 printable ASCII characters, for example a UUID."
        return KeyRefused(RefusalCode.IDEMPOTENCY_KEY_INVALID, detail)
    return key


def keyed(
    rule: str, key: bytes, method: bytes, path: bytes, query: bytes, body: tuple[int, bytes], feature: str = ""
) -> Keyed:
    """`body` is its length, -1 if that is not known, and all of it or how it begins."""
    length, content = body
    said = hashlib.sha256(b"%b %b?%b %d\n" % (method, path, query, length))
    said.update(content)
    return Keyed(hashlib.sha256(b"%b %b" % (rule.encode(), key)).hexdigest()[:40], said.hexdigest()[:40], feature)
