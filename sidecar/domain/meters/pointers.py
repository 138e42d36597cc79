"""Readings that a rule names itself, by JSON Pointer (RFC 6901) into a JSON answer or into the events of a stream.

What a stream says several times counts as the rule says: the last of it, its sum, its maximum.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import InvalidInput
from sidecar.domain.meters.events import data_of, type_of
from sidecar.domain.meters.reader import Reader, Reading, Silence, decoded
from sidecar.domain.meters.text import DONE
from sidecar.domain.price import Number, parse_number

Pointer = tuple[str, ...]

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
_MISSING = object()
_LEAF: dict[str, Any] = {}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z", re.ASCII)
"""A step that is surely an object's key and stands in the text as it is."""


class _Typed(msgspec.Struct, gc=False):
    type: str = ""


_typed = msgspec.json.Decoder(_Typed)


class Mode(StrEnum):
    """Which of a stream's values counts."""

    LAST = "last"
    SUM = "sum"
    MAX = "max"


class Place(msgspec.Struct, frozen=True):
    """Where the events of a stream have a number; `event` is the only type of event to look into, "" is any."""

    pointer: Pointer
    mode: Mode = Mode.LAST
    event: bytes = b""


def parse_pointer(text: str) -> Pointer:
    """``/usage/total_tokens`` as its steps; InvalidInput says what would be right."""
    if not text.startswith("/") or any(part[:1] not in {"0", "1"} for part in text.split("~")[1:]):
        raise InvalidInput("a JSON pointer starts with `/`, as in /usage/total_tokens; `~` is written ~0 and `/` ~1")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


def number(value: Any) -> Number | None:
    """A JSON value as a reading: a number or decimal text, exactly; None for anything else."""
    if type(value) is int:
        return value if 0 <= value <= MAX_AMOUNT else None
    if type(value) is float:
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        # One written with an exponent could be a text of any length without it.
        return parse_number(f"{value:f}") if value.is_finite() and -32 < value.adjusted() < 16 else None
    return parse_number(value) if isinstance(value, str) else None


def find(document: Any, pointer: Pointer) -> Any:
    """The value at `pointer`, or a mark that is no reading."""
    for step in pointer:
        if isinstance(document, dict):
            document = document.get(step, _MISSING)
        elif isinstance(document, list) and step.isascii() and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return _MISSING
    return document


def finder(pointers: Iterable[Pointer]) -> Callable[[bytes], Sequence[Any] | None]:
    """Finds the values at `pointers` in JSON texts, marks for those that lack one; None for what is no JSON.

    Where all steps are surely keys of objects, the decoder itself skips whatever else a text has.
    """
    wanted = tuple(pointers)

    def walk(text: bytes) -> Sequence[Any] | None:
        document = decoded(_decoder, text)
        return None if document is None else [find(document, pointer) for pointer in wanted]

    tree = _tree(wanted)
    if tree is None:
        return walk
    decode = msgspec.json.Decoder(_record(tree), float_hook=Decimal).decode
    paths = [operator.attrgetter(".".join(map(_attribute, pointer))) for pointer in wanted]

    def look(text: bytes) -> Sequence[Any] | None:
        try:
            record = decode(text)
            return [path(record) for path in paths]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError):
            # Something on the way is no object, or is not there.
            return walk(text)

    return look


def _tree(pointers: Iterable[Pointer]) -> dict[str, Any] | None:
    """The objects along `pointers`, by their keys; None if a step may be no key, or a value is an object as well."""
    tree: dict[str, Any] = {}
    for *steps, last in pointers:
        here = tree
        for step in steps:
            here = here.setdefault(step, {})
            if here is _LEAF:
                return None
        if here.setdefault(last, _LEAF) is not _LEAF or not all(map(_NAME.match, (*steps, last))):
            return None
    return tree


def _record(tree: Mapping[str, Any]) -> type[Any]:
    fields = [
        (_attribute(key), Any if inner is _LEAF else _record(inner) | None, None) for key, inner in tree.items()
    ]
    return msgspec.defstruct("Found", fields, rename={_attribute(key): key for key in tree}, gc=False)


def _attribute(key: str) -> str:
    """A key as an attribute: one of its own for each key, whatever is in it."""
    return "of_" + key.encode().hex()


class PointerStream(Silence):
    """What each place of a stream has said; what ended early may have had more to say.

    A value that is none makes a sum and a maximum unknown for good, and a last value until another one comes.
    """

    def __init__(
        self, places: Mapping[str, Place], expected: int, cut: Callable[[bytes], tuple[bytes, bytes]]
    ) -> None:
        """`expected` meters are all there are; `cut` finds type and data in what `read` gets."""
        super().__init__()
        self._places = places
        self._expected = expected
        self._cut = cut
        self._lost: set[str] = set()

    def read(self, data: bytes) -> None:
        kind, text = self._cut(data)
        document = _MISSING if text == DONE else decoded(_decoder, text)
        for meter, place in self._places.items():
            if place.event not in (b"", kind):
                continue
            if document is None and place.mode is not Mode.LAST:
                # What cannot be read may have been a part of the sum.
                self._take(meter, place.mode, None)
            value = find(document, place.pointer)
            if value is not _MISSING and value is not None:
                self._take(meter, place.mode, number(value))
        self.seen = len(self.usage) == self._expected

    def _take(self, meter: str, mode: Mode, value: Number | None) -> None:
        earlier = self.usage.get(meter, 0)
        if mode is Mode.MAX and value is not None:
            value = max(earlier, value)
        elif mode is Mode.SUM and value is not None:
            value = earlier + value
        if value is None or value > MAX_AMOUNT:
            self.usage.pop(meter, None)
            if mode is not Mode.LAST:
                self._lost.add(meter)
        elif meter not in self._lost:
            self.usage[meter] = value


def text_at(body: bytes, pointer: Pointer) -> str | None:
    """The text, or the whole number as text, at `pointer` in a JSON body; None for anything else."""
    try:
        value = find(_decoder.decode(body), pointer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else None


def pointer_reader(
    json: Mapping[str, Pointer],
    events: Mapping[str, Place],
    lines: Mapping[str, Place] | None = None,
    messages: Mapping[str, Place] | None = None,
) -> Reader:
    """A reader of meters by pointer; a meter without a place in one kind of answer cannot be read from it."""
    lines, messages = lines or {}, messages or {}
    meters = tuple(dict.fromkeys((*json, *events, *lines, *messages)))
    places = (*events.values(), *lines.values(), *messages.values())
    # A meter without a place in JSON makes all of an answer unknown.
    values_in = finder(json.values()) if len(json) == len(meters) else lambda _: None
    order = tuple(json)

    def read_json(body: bytes) -> Reading | None:
        values = values_in(body)
        if values is None:
            return None
        reading: Reading = {}
        for meter, value in zip(order, values, strict=True):
            read = number(value)
            if read is None:
                return None
            reading[meter] = read
        return reading

    return Reader(
        meters=meters,
        read_json=read_json,
        open_stream=lambda: PointerStream(events, len(meters), _event_parts),
        open_lines=lambda: PointerStream(lines, len(meters), _line_parts),
        open_messages=(lambda: _conversation(messages, len(meters))) if messages else None,
        needles=tuple(sorted({_needle(place.pointer) for place in places})),
        whole_events=True,
    )


def _conversation(places: Mapping[str, Place], expected: int) -> PointerStream:
    """The messages of a conversation: where none of them has a value yet, sum and maximum are 0, not unknown."""
    stream = PointerStream(places, expected, _message_parts)
    stream.usage.update((meter, 0) for meter, place in places.items() if place.mode is not Mode.LAST)
    stream.seen = len(stream.usage) == expected
    return stream


def _message_parts(message: bytes) -> tuple[bytes, bytes]:
    """A message says of which type it is in its ``type``, as those of OpenAI do."""
    typed = decoded(_typed, message)
    return typed.type.encode() if typed is not None else b"", message


def _event_parts(event: bytes) -> tuple[bytes, bytes]:
    return type_of(event), data_of(event)


def _line_parts(line: bytes) -> tuple[bytes, bytes]:
    return b"", line


def _needle(pointer: Pointer) -> bytes:
    """Text that an event holds that has a value here."""
    names = [step for step in pointer if _NAME.match(step)]
    return b'"%b"' % names[-1].encode() if names else b":"
