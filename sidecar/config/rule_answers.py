"""Statuses in a rule file, and prices by what the head of an answer says: its status, or one of its headers."""

import re
from collections.abc import Mapping

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.domain.price import Price
from sidecar.domain.price_list import ANY, AnswerPrices, Choices

STATUS = re.compile(r"([2-5])(xx|[0-9]{2})\Z", re.ASCII)
_STATUSES = "2xx, 3xx, 4xx, 5xx or a status such as 404"


class OfAnswer(msgspec.Struct, frozen=True):
    """A dimension that only the answer has; `header` None is its status."""

    header: bytes | None


def read_statuses(cursor: Cursor) -> frozenset[int]:
    """Classes such as ``2xx`` and single statuses, as the statuses that they stand for."""
    statuses: set[int] = set()
    for item in cursor.one_or_items(_STATUSES):
        text = item.written(_STATUSES)
        if text is not None:
            statuses |= _statuses(item, text)
    return frozenset(statuses)


def _statuses(cursor: Cursor, text: str, *, at_key: bool = False) -> set[int]:
    """The statuses that ``2xx`` or ``404`` stands for; none after a problem."""
    match = STATUS.match(text)
    if match is None:
        cursor.problem(f"`{text}` is not a status of an answer", f"write {_STATUSES}", at_key=at_key)
        return set()
    first = int(match[1]) * 100
    return set(range(first, first + 100)) if match[2] == "xx" else {first + int(match[2])}


def read_answers(
    cursor: Cursor, dimension: OfAnswer, prices: Mapping[str, object], charge_on: frozenset[int]
) -> AnswerPrices:
    """What `prices`, by the names of the mapping at `cursor`, make together."""
    if ANY not in prices:
        cursor.problem('no price for "*": an answer may say anything, or nothing', 'add a price for "*"')
    if dimension.header is None:
        for name in prices.keys() - {ANY}:
            _check_status(Cursor(cursor.document, cursor.problems, (*cursor.path, name)), name, charge_on)
        prices = {name.replace("xx", ANY): price for name, price in prices.items()}
    known = {name: price for name, price in prices.items() if isinstance(price, Price | AnswerPrices)}
    return AnswerPrices(dimension.header, Choices.of(known))


def _check_status(cursor: Cursor, name: str, charge_on: frozenset[int]) -> None:
    statuses = _statuses(cursor, name, at_key=True)
    if statuses and not statuses & charge_on:
        cursor.problem(f"no effect: answers with `{name}` are not charged", "add it to `charge_on`", at_key=True)
