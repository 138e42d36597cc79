"""What a price may be chosen by: who asks, a field of the request's body, a header, a parameter of query or path.

A value that servers could read in different ways is none that a price could rest on: a name that is there twice, or
in other capitals, a path with an escaped slash. Such a request is refused (`Doubt`), since the upstream might take
the dear value where we take the cheap one. Each dimension is made when rules load, and is one function afterwards.
"""

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, final
from urllib.parse import unquote_to_bytes

import msgspec

from sidecar.domain.body_fields import field
from sidecar.domain.ids import is_customer_id
from sidecar.domain.json_text import finder_of_repeats
from sidecar.domain.match import PathPattern
from sidecar.domain.paths import readings
from sidecar.domain.request_facts import RequestFacts

CUSTOMER = "customer"
_SEPARATORS = re.compile(rb"[&;]")


@final
class Doubt(msgspec.Struct, frozen=True):
    """There is a value, but which? `detail` is a sentence for the caller."""

    detail: str


class Dimension(msgspec.Struct, frozen=True):
    """`name` is for people, `key` as it is written after ``by:``, and recorded.

    `body_field` is the field of the body that `read` looks for, "" if it needs no body.
    `read` answers with the value as text, with None where there is none, or with a `Doubt`; its first argument is the
    record of the body's fields (see `body_fields`). `parameter` is its name in the query, "" elsewhere.
    """

    name: str
    key: str
    body_field: str
    read: Callable[[Any, RequestFacts], str | Doubt | None]
    parameter: str = ""


def of_customer(names: Iterable[str]) -> Dimension:
    """Who asks: our id of the customer if that is one of `names`, else the operator's own id of it.

    An external id that looks like one of ours is never taken for it.
    """
    ids = frozenset(filter(is_customer_id, names))

    def read(request: Any, facts: RequestFacts) -> str | Doubt | None:  # noqa: ARG001 - a face
        if facts.customer_id in ids or facts.external_id in ids or not facts.external_id:
            return facts.customer_id or None
        return facts.external_id

    return Dimension(CUSTOMER, CUSTOMER, "", read)


def of_body(name: str) -> Dimension:
    """A dotted field of a JSON body: text, a whole number as its digits, ``true`` or ``false``."""
    value_in = operator.attrgetter(field(name))
    repeated_in = finder_of_repeats(name.split("."))
    repeated = Doubt(f"The request has `{name}` more than once; send it once.")

    def read(request: Any, facts: RequestFacts) -> str | Doubt | None:
        body = facts.body
        if body is not None and not facts.form and repeated_in(body):
            return repeated
        value = value_in(request)
        if type(value) is str:
            return value
        return str(value).lower() if type(value) is int or type(value) is bool else None

    return Dimension(name, f"request.{name}", name, read)


def of_header(name: str) -> Dimension:
    """A header of the request."""
    field_name = name.lower().encode()
    repeated = Doubt(f"The request has header `{name}` more than once, or with several values; send one.")

    def read(request: Any, facts: RequestFacts) -> str | Doubt | None:  # noqa: ARG001 - a face
        value = facts.fields.get(field_name)
        if value is None:
            return None
        return repeated if b"," in value else value.decode("latin-1").strip()

    return Dimension(f"header {name}", f"header.{name.lower()}", "", read)


def of_query(name: str) -> Dimension:
    """A parameter of the query, decoded; some servers also take ``;`` between parameters."""
    wanted = name.encode()
    unclear = Doubt(f"The query has `{name}` more than once, or not written like this; send it once.")

    def read(request: Any, facts: RequestFacts) -> str | Doubt | None:  # noqa: ARG001 - a face
        query = facts.query
        if not query:
            return None
        found = _parameters(query.split(b"&"), wanted)
        if b";" in query and _parameters(_SEPARATORS.split(query), wanted) != found:
            return unclear
        if not found:
            return None
        return found[0][1].decode(errors="replace") if len(found) == 1 and found[0][0] == wanted else unclear

    return Dimension(f"query parameter {name}", f"query.{name}", "", read, name)


def of_path(name: str, pattern: PathPattern) -> Dimension:
    """The text that ``{name}`` stands for in a path that `pattern` matches, decoded."""
    placeholder = f"{{{name}}}"
    index = next(index for index, segment in enumerate(pattern.segments) if placeholder in segment)
    before, _, after = pattern.segments[index].partition(placeholder)
    start, behind = len(before), len(after)
    unclear = Doubt(f"The path can be read in more than one way: send `{name}` without `;` and escaped slashes.")

    def read(request: Any, facts: RequestFacts) -> str | Doubt | None:  # noqa: ARG001 - a face
        segments = {reading.split(b"/")[index + 1] for reading in readings(facts.path)}
        if len(segments) > 1:
            return unclear
        segment = segments.pop()
        return segment[start : len(segment) - behind].decode(errors="replace")

    return Dimension(f"path parameter {name}", f"path.{name}", "", read)


def _parameters(parts: Iterable[bytes], wanted: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value of each parameter of this name, in any capitals, as most servers decode them."""
    pairs = (part.replace(b"+", b" ").partition(b"=") for part in parts)
    decoded = ((unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in pairs)
    return [(name, value) for name, value in decoded if name.lower() == wanted.lower()]
