"""What the control API takes and answers, as it is on the wire: what all of it shares.

The modules named after a subject, such as `key_schema`, have the rest. These records serve the requests and generate
the OpenAPI document. They are never the store's own: renaming a field here must not touch Redis. Amounts are integers
of base units; `display` says the same as decimals, for people.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any

import msgspec
from msgspec import NODEFAULT, UNSET, Meta, UnsetType

from sidecar.domain.errors import InvalidInput

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LIMIT_DEFAULT = 50
LIMIT_MAX = 250
CURSOR_MAX = 4096

SHOWN_ONCE = (
    "The secret was shown once, in the first answer, and only its hash is stored. If it is lost, make a new key."
)


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is answered: whoever reads it ignores fields that came later than it did."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is asked, bodies and queries: a field that we do not know is an error, never ignored."""


class Nothing(Asked, frozen=True, kw_only=True):
    """An endpoint that takes no body, or no query."""


class Paging(Asked, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Meta(min_length=1, max_length=CURSOR_MAX)] | UnsetType = UNSET


class Pagination(Wire, frozen=True, kw_only=True):
    has_more: bool
    next_cursor: str | None

    @classmethod
    def of(cls, next_cursor: str | None) -> "Pagination":
        return cls(has_more=next_cursor is not None, next_cursor=next_cursor)


class Health(Wire, frozen=True, kw_only=True):
    status: str


class FieldError(Wire, frozen=True, kw_only=True):
    path: Annotated[str, Meta(description="Where in the body or the query: `$.credits`.")]
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457. `code` is the member to switch on."""

    type: str
    title: str
    status: int
    detail: str
    instance: Annotated[str, Meta(description="The id of the request, also in the header x-request-id.")]
    code: str
    errors: list[FieldError] | UnsetType = UNSET
    unit: Annotated[str, Meta(description="Of a refusal by the ledger, what these amounts are of.")] | UnsetType = (
        UNSET
    )
    required: int | UnsetType = UNSET
    available: Annotated[int, Meta(description="What this request could draw on.")] | UnsetType = UNSET
    held: Annotated[int, Meta(description="What other holds keep of it.")] | UnsetType = UNSET


def words(*known: str) -> Meta:
    """Of a field of an answer, the words that it has now; whoever reads it must expect others later."""
    return Meta(description=f"Such as {', '.join(known)}.")


def said(value: Any) -> Any:
    """What a record says beyond its defaults, in dicts and lists.

    So a client asks for no more than it wants, and a server of before a field was there takes it; and what is asked
    again after an update, by a record that has a field more, is still the same.
    """
    if isinstance(value, msgspec.Struct):
        return {
            name: said(given)
            for attribute, name, default in _defaults(type(value))
            if (given := getattr(value, attribute)) != default
        }
    return [said(each) for each in value] if isinstance(value, list | tuple) else value


@cache
def _defaults(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    """Of each field its names, here and on the wire, and its default, if it has one."""
    return tuple(
        (each.name, each.encode_name, each.default if each.default_factory is NODEFAULT else each.default_factory())
        for each in msgspec.structs.fields(kind)
    )


def instant(epoch_ms: int) -> datetime:
    """Exact, unlike a division by 1000."""
    return _EPOCH + timedelta(milliseconds=epoch_ms)


def epoch_ms(at: datetime, field: str) -> int:
    """The store's form of an instant, to the millisecond; InvalidInput for what is not after 1970."""
    if at <= _EPOCH:
        raise InvalidInput(f"{field} must be after 1970; got {at.isoformat()}.", field)
    return (at - _EPOCH) // timedelta(milliseconds=1)
