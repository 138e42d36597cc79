"""Usage that a request itself tells: how many images it wants, how long its text is, which duration is in its path.

It is read when the request is quoted, held exactly and charged as it was read. What servers could read in different
ways is no usage (see `price_dimensions`): the request is refused, as is one that says anything but a number.
"""

import operator
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from sidecar.domain.body_fields import field
from sidecar.domain.json_text import finder_of_repeats
from sidecar.domain.meters.pointers import number
from sidecar.domain.price import Number
from sidecar.domain.price_dimensions import Dimension, Doubt
from sidecar.domain.request_facts import RequestFacts


class Counts(StrEnum):
    """What of a field of the body is read: the number that it is, or the characters of its text."""

    VALUE = "value"
    CHARACTERS = "characters"


class RequestMeter(msgspec.Struct, frozen=True):
    """`body_field` is the field of the body that `read` looks at, "" if it needs no body.

    `read` answers with the reading, or with a `Doubt`; its first argument is the record of the body's fields (see
    `body_fields`). `place` is where its number stands in the request, a field of the body or ``query.<name>``; ""
    when it stands nowhere, or nobody could write another one.
    """

    name: str
    body_field: str
    read: Callable[[Any, RequestFacts], Number | Doubt]
    place: str = ""


def of_body(name: str, counts: Counts = Counts.VALUE, default: Number | None = None) -> RequestMeter:
    """A dotted field of a JSON body; `default` is what a request says that does not have it, None refuses it."""
    value_in = operator.attrgetter(field(name))
    repeated_in = finder_of_repeats(name.split("."))
    reading_of, wanted = (number, "a number from 0") if counts is Counts.VALUE else (_characters, "text")
    absent, wrong = _absent(name, default), Doubt(f"`{name}` must be {wanted}: what the request costs depends on it.")
    repeated = Doubt(f"The request has `{name}` more than once; send it once.")

    def read(request: Any, facts: RequestFacts) -> Number | Doubt:
        if facts.body is not None and not facts.form and repeated_in(facts.body):
            return repeated
        value = value_in(request)
        if value is None:
            return absent
        reading = reading_of(value)
        return wrong if reading is None else reading

    return RequestMeter(name, name, read, name if counts is Counts.VALUE else "")


def of_dimension(dimension: Dimension, default: Number | None = None) -> RequestMeter:
    """A parameter of the query or of the path."""
    name = dimension.name
    absent, wrong = _absent(name, default), Doubt(f"The {name} must be a number from 0: the cost depends on it.")

    def read(request: Any, facts: RequestFacts) -> Number | Doubt:
        value = dimension.read(request, facts)
        if value is None:
            return absent
        if isinstance(value, Doubt):
            return value
        reading = number(value)
        return wrong if reading is None else reading

    return RequestMeter(
        name, dimension.body_field, read, f"query.{dimension.parameter}" if dimension.parameter else ""
    )


def _absent(name: str, default: Number | None) -> Number | Doubt:
    return Doubt(f"The request needs `{name}`: what it costs depends on it.") if default is None else default


def _characters(value: Any) -> int | None:
    return len(value) if type(value) is str else None
