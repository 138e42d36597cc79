"""What a price was chosen by, as words behind the numbers of a usage text, and how such a text is read again.

    input_tokens=12 output_tokens=5 request.model="gpt-4o-mini" header.x-tier=-

A word of a dimension has its value as a JSON string of ASCII without a space and without an escaped quote, so that
words split at spaces and a database finds the end of a value without knowing JSON; `-` says that there was none. Of a
value that is too long only the start is kept, with `~` behind it: nobody may take that for the value.
"""

import json
import re
from functools import lru_cache

import msgspec

from sidecar.domain.price import Number, Usage, number_text, parse_number

VALUE_MAX_CHARACTERS = 128
_NAME = re.compile(r"(?:request|header|query|path|response)\.[A-Za-z0-9_.~\[\]-]{1,128}\Z", re.ASCII)
_ABSENT = "-"
_CUT = "~"


class Recorded(msgspec.Struct, frozen=True):
    """What a usage text says: `usage` by meter, and by dimension what the price was `chosen_by`, None for no value.

    A value that was too long to be kept is in neither.
    """

    usage: dict[str, Number]
    chosen_by: dict[str, str | None]


def word(name: str, value: str | None) -> str:
    """The word for one dimension, with a space before it."""
    if value is None:
        return f" {name}={_ABSENT}"
    if len(value) > VALUE_MAX_CHARACTERS:
        return f" {name}={quoted(value[:VALUE_MAX_CHARACTERS])}{_CUT}"
    return _whole_word(name, value)


def dimension_name(text: str) -> str | None:
    """The name of a dimension as it is recorded: headers have small letters. None: there is none of this name."""
    if _NAME.match(text) is None:
        return None
    kind, _, name = text.partition("header.")
    return f"{kind}header.{name.lower()}" if kind in ("", "response.") else text


@lru_cache(maxsize=1024)
def _whole_word(name: str, value: str) -> str:
    """Values are mostly few, such as the names of models."""
    return f" {name}={quoted(value)}"


def quoted(value: str) -> str:
    """A value as it stands in its word."""
    inner = json.dumps(value)[1:-1].replace('\\"', "\\u0022").replace(" ", "\\u0020")
    return f'"{inner}"'


def unquoted(text: str) -> str | None:
    """The value in a word, a cut one with ``…``; None when `text` is no quoted value."""
    if not text.startswith('"'):
        return None
    try:
        value = json.loads(text.removesuffix(_CUT))
    except ValueError:
        return None
    return f"{value}…" if text.endswith(_CUT) else str(value)


def less(text: str, used: Usage) -> str:
    """A usage text without what was `used` of it, which other lines say; readings of nothing are left out."""
    words = []
    for each in text.split(" "):
        name, _, value = each.partition("=")
        number = parse_number(value) if name in used else None
        if number is None:
            words.append(each)
        elif number != used[name]:
            words.append(f"{name}={number_text(number - used[name])}")
    return " ".join(words)


def recorded(text: str) -> Recorded:
    """What a usage text says. Words that are neither a reading nor a dimension's say nothing."""
    said = Recorded({}, {})
    for each in text.split(" "):
        name, _, value = each.partition("=")
        number = parse_number(value)
        if number is not None:
            said.usage[name] = number
        elif value == _ABSENT:
            said.chosen_by[name] = None
        elif not value.endswith(_CUT) and (chosen := unquoted(value)) is not None:
            said.chosen_by[name] = chosen
    return said
