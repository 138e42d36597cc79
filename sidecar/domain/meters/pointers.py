"""Readings that a rule names itself, by JSON Pointer (RFC 6901) into a JSON answer or into the events of a stream."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.meters.reader import Reader, Reading
from sidecar.domain.price import Number, parse_number

Pointer = tuple[str, ...]

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_MISSING = object()
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z", re.ASCII)
"""A step that is surely an object's key and stands in the text as it is."""


def parse_pointer(text: str) -> Pointer:
    """``/usage/total_tokens`` as its steps; InvalidInput says what would be right."""
    if not text.startswith("/") or any(part[:1] not in {"0", "1"} for part in text.split("~")[1:]):
        raise InvalidInput("a JSON pointer starts with `/`, as in /usage/total_tokens; `~` is written ~0 and `/` ~1")
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/"))


def number(value: Any) -> Number | None:
    """A JSON value as a reading: a number or decimal text, exactly; None for anything else."""
    if type(value) is int:
        return parse_number(str(value))
    if isinstance(value, Decimal):
        return parse_number(f"{value:f}") if value.is_finite() and value.adjusted() < 16 else None
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


def _decode(text: bytes) -> Any:
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _MISSING


class PointerStream:
    """The last value of each pointer counts; what ended early may have had more to say."""

    def __init__(self, pointers: Mapping[str, Pointer], expected: int) -> None:
        self.usage: Reading = {}
        self.final = False
        self.failed = False
        self._pointers = pointers
        self._expected = expected

    @property
    def seen(self) -> bool:
        return len(self.usage) == self._expected

    def read(self, data: bytes) -> None:
        document = _decode(data)
        for meter, pointer in self._pointers.items():
            value = find(document, pointer)
            if value is _MISSING or value is None:
                continue
            reading = number(value)
            if reading is None:
                self.usage.pop(meter, None)
            else:
                self.usage[meter] = reading


def pointer_reader(json: Mapping[str, Pointer], sse: Mapping[str, Pointer]) -> Reader:
    """A reader of meters by pointer; a meter with only one of the two cannot be read from the other kind."""
    meters = tuple(dict.fromkeys((*json, *sse)))

    def read_json(body: bytes) -> Reading | None:
        document = _decode(body)
        reading: Reading = {}
        for meter in meters:
            value = number(find(document, json[meter])) if meter in json else None
            if value is None:
                return None
            reading[meter] = value
        return reading

    return Reader(
        meters=meters,
        read_json=read_json,
        open_stream=lambda: PointerStream(sse, len(meters)),
        needles=tuple(sorted({_needle(pointer) for pointer in sse.values()})),
    )


def _needle(pointer: Pointer) -> bytes:
    names = [step for step in pointer if _NAME.match(step)]
    return b'"%b"' % names[-1].encode() if names else b"data"
