"""Where a list goes on: opaque cursors, and how long a page may be."""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from sidecar.domain.errors import InvalidInput

LIMIT_MAX = 1_000

Mark = tuple[str | int, ...]


def cursor_of(mark: Sequence[str | int]) -> str:
    """The cursor that goes on behind `mark`, the sort key of the last item."""
    return base64.urlsafe_b64encode(msgspec.json.encode(mark)).rstrip(b"=").decode()


def mark_of(cursor: str, kinds: Sequence[type[str | int]]) -> Mark:
    """The sort key in a cursor; `InvalidInput` when it is none of this list."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark = msgspec.json.decode(text, type=tuple[str | int, ...])
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise _not_ours() from error
    if [type(part) for part in mark] != list(kinds) or not all(_storable(part) for part in mark):
        raise _not_ours()
    return mark


def checked_limit(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput(f"limit must be between 1 and {LIMIT_MAX}; got {limit}.", "limit")
    return limit


def _storable(part: str | int) -> bool:
    return abs(part) < 2**63 if isinstance(part, int) else "\0" not in part


def _not_ours() -> InvalidInput:
    return InvalidInput("cursor must be the next_cursor of a former page of the same list.", "cursor")
