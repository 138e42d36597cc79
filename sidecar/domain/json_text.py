"""Where the members of a JSON object stand in its text, so that one can be changed and all other bytes stay.

It checks nothing: the text must have been decoded as an object before.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

WHITE_SPACE = b" \t\r\n"
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]', re.DOTALL)


class Member(NamedTuple):
    """``"name": value``: `start` is the name's quote, `value` where the value's text begins, `end` where it ends."""

    name: str
    start: int
    value: int
    end: int


def members(text: bytes) -> Iterator[Member]:
    """The members of the outermost object, in order, repeated names included. White space around values is theirs."""
    depth = start = value = 0
    name: str | None = None
    for match in _TOKEN.finditer(text):
        match match[0][:1]:
            case b'"':
                if depth == 1 and name is None:
                    name, start = _text(match[0]), match.start()
            case b":":
                value = match.end() if depth == 1 else value
            case b"{" | b"[":
                depth += 1
            case closing:
                if depth == 1 and name is not None:
                    yield Member(name, start, value, match.start())
                    name = None
                depth -= closing != b","


class Place(NamedTuple):
    """Where a value stands in a text, or where it would stand: ``before + value + after`` is the whole.

    `value` is empty when it is not there yet.
    """

    before: bytes
    value: bytes
    after: bytes


def place_of(text: bytes, names: Sequence[str]) -> Place | None:
    """The place of a value in an object, `names` leading to it; what lacks on the way is in `before` and `after`.

    None where servers could read it in different ways (see `repeats`), and where the way leads through anything but
    an object. `names` need no escapes in JSON.
    """
    name, *inner = names
    found = [member for member in members(text) if member.name.lower() == name.lower()]
    if not found:
        at = text.index(b"{") + 1
        more = b"" if text[at:].lstrip(WHITE_SPACE).startswith(b"}") else b","
        way = "".join(f'{{"{step}":' for step in names)[1:].encode()
        return Place(text[:at] + way, b"", b"}" * len(inner) + more + text[at:])
    member = found[0]
    if len(found) > 1 or member.name != name:
        return None
    start = member.end - len(text[member.value : member.end].lstrip(WHITE_SPACE))
    value = text[start : member.end].rstrip(WHITE_SPACE)
    before, after = text[:start], text[start + len(value) :]
    if not inner:
        return Place(before, value, after)
    place = place_of(value, inner) if value.startswith(b"{") else None
    return Place(before + place.before, place.value, place.after + after) if place is not None else None


def _text(quoted: bytes) -> str:
    try:
        return msgspec.json.decode(quoted, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Decoders skip a name that they do not want without looking whether it is UTF-8.
        return quoted[1:-1].decode("latin-1")


def finder_of_repeats(names: Sequence[str]) -> Callable[[bytes], bool]:
    """`repeats` for the same names in many texts; one that surely has the name once is not walked through."""
    quoted = b'"%b"' % names[0].lower().encode()
    alone = len(names) == 1

    def found(text: bytes) -> bool:
        # `find`, since ``in`` first tries whether its left side is a number, which takes as long as the search.
        if alone and text.lower().count(quoted) < 2 and (text.find(b"\\") < 0 or text.find(b"\\u00") < 0):
            return False
        return repeats(text, names)

    return found


def repeats(text: bytes, names: Sequence[str]) -> bool:
    """Whether an object on the way along `names` has the next name more than once, in any capitals or escapes.

    Decoders disagree about which of them counts (the last, the first, any capitals), so that what we read need not be
    what the upstream reads.
    """
    name, *inner = names
    found = [member for member in members(text) if member.name.lower() == name.lower()]
    if len(found) != 1 or not inner:
        return len(found) > 1
    value = text[found[0].value : found[0].end].strip()
    return value.startswith(b"{") and repeats(value, inner)
