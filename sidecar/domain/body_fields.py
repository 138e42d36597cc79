"""The fields that a rule reads of a request's body, JSON or a form (see `forms`), as one small record.

The record has an attribute for each dotted name, None where the request lacks it. Counts are typed: the decoder
itself checks that they are whole numbers in range, and skips all that nobody asked for. Only what it refuses is
looked at again in Python, as are names that go into objects.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def field(name: str) -> str:
    """The attribute with the value of a dotted name, as it was sent; each name has one of its own."""
    return "field_" + name.replace("_", "__").replace(".", "_")


def count(name: str) -> str:
    """The attribute with the value of a dotted name as `whole` sees it."""
    return "count_" + name.replace("_", "__").replace(".", "_")


def whole(value: Any) -> int | None:
    """A count as a rule sees it: a whole number from 0, capped at 2^53 - 1, or missing."""
    if type(value) is int and value >= 0:
        return min(value, MAX_AMOUNT)
    # A number beyond 64 bits arrives as a float: it is absurd, not missing.
    return MAX_AMOUNT if type(value) is float and value > MAX_AMOUNT else None


def _digits(text: str) -> int | None:
    """`whole` of a text."""
    if not (text.isascii() and text.isdigit()):
        return None
    return whole(int(text)) if len(text) <= 16 else MAX_AMOUNT


class BodyFields:
    """Reads the named fields of a JSON body, as they are and as counts; a dotted name goes into objects."""

    def __init__(self, fields: Iterable[str], counts: Iterable[str]) -> None:
        self._fields, self._counts = frozenset(fields), frozenset(counts)
        self.names = names = self._fields | self._counts
        roots = {name.split(".", maxsplit=1)[0] for name in names}
        self._decode_roots = msgspec.json.Decoder(_record({field(root): (root, Any) for root in roots})).decode
        attributes: dict[str, tuple[str, Any]] = {field(name): (name, Any) for name in self._fields}
        attributes |= {count(name): (name, _Count) for name in self._counts}
        if names == roots and not self._fields & self._counts:
            self._record = _record(attributes)
            self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(self._record).decode
        else:
            self._record = _record({attribute: (attribute, kind) for attribute, (_, kind) in attributes.items()})
            self._decode = self._take
        self.nothing: Any = self._record()
        """The record of a body that has none of the fields."""

    def __bool__(self) -> bool:
        return bool(self._fields or self._counts)

    def read(self, body: bytes) -> Any:
        """The record of one body; None when it is not a JSON object."""
        try:
            return self._decode(body)
        except _UNREADABLE:
            pass
        try:
            return self._take(body)
        except _UNREADABLE:
            return None

    def of_text(self, found: Mapping[str, str]) -> Any:
        """The record of a form that has these fields; counts are whole numbers in digits."""
        values: dict[str, Any] = {field(name): found.get(name) for name in self._fields}
        values |= {count(name): _digits(found.get(name, "")) for name in self._counts}
        return self._record(**values)

    def _take(self, body: bytes) -> Any:
        roots = self._decode_roots(body)
        values = {field(name): _find(roots, name) for name in self._fields}
        values |= {count(name): whole(_find(roots, name)) for name in self._counts}
        return self._record(**values)


def _record(attributes: dict[str, tuple[str, Any]]) -> type[Any]:
    """A record with these attributes, each with its name in JSON and its type."""
    return msgspec.defstruct(
        "Body",
        [(attribute, kind | None, None) for attribute, (_, kind) in sorted(attributes.items())],
        rename={attribute: name for attribute, (name, _) in attributes.items()},
        gc=False,
    )


def _find(roots: Any, name: str) -> Any:
    root, *steps = name.split(".")
    value = getattr(roots, field(root))
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value
