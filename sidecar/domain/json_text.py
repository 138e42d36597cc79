"""Where the members of a JSON object stand in its text, so that one can be changed and all other bytes stay.

It checks nothing: the text must have been decoded as an object before.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

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
