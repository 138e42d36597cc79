"""Which price: by what the request says, by what the answer says, by when it is asked.

A list's prices may be lists again, by another dimension. What the request says decides when it is quoted, and for
good; what the answer says decides when its head has come, and the hold is for the dearest. What usage decides is a
price by itself (`price_ranges`). ``None`` is a price that denies.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, final

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Stand
from sidecar.domain.fields import Fields
from sidecar.domain.ids import is_customer_id
from sidecar.domain.price import Line, Price, Usage
from sidecar.domain.price_dimensions import CUSTOMER, Dimension
from sidecar.domain.price_ranges import RangedPrice
from sidecar.domain.usage_words import word

_T = TypeVar("_T")

ANY = "*"
_NO_TEXT = r"(?!)"


class Choices(msgspec.Struct, Generic[_T], frozen=True, kw_only=True):
    """One thing by a text: an exact name first, then the first pattern that matches, then ``*``."""

    exact: Mapping[str, _T]
    pattern: re.Pattern[str]
    """All patterns as one expression with a group for each, in the order of their things in `by_pattern`."""
    by_pattern: tuple[_T, ...]
    other: _T | None
    lower: frozenset[str]
    """The exact names in small letters."""
    any_capitals: re.Pattern[str]
    """`pattern` for values in any capitals."""

    @classmethod
    def of(cls, named: Mapping[str, _T]) -> "Choices[_T]":
        """`named` in the order of the file, where ``*`` in a name stands for any text."""
        patterns = [name for name in named if ANY in name and name != ANY]
        exact = {name: thing for name, thing in named.items() if ANY not in name}
        expression = "|".join(map(_group, patterns)) or _NO_TEXT
        return cls(
            exact=exact,
            pattern=re.compile(expression, re.DOTALL),
            by_pattern=tuple(named[name] for name in patterns),
            other=named.get(ANY),
            lower=frozenset(name.lower() for name in exact),
            any_capitals=re.compile(expression, re.DOTALL | re.IGNORECASE),
        )

    def find(self, value: str) -> _T | None:
        if value in self.exact:
            return self.exact[value]
        match = self.pattern.fullmatch(value)
        return self.other if match is None or match.lastindex is None else self.by_pattern[match.lastindex - 1]

    def each(self, change: Callable[[_T], _T]) -> "Choices[_T]":
        """The same choices of things that `change` makes of these."""
        return msgspec.structs.replace(
            self,
            exact={name: change(thing) for name, thing in self.exact.items()},
            by_pattern=tuple(map(change, self.by_pattern)),
            other=None if self.other is None else change(self.other),
        )

    def __iter__(self) -> Iterator[_T]:
        yield from self.exact.values()
        yield from self.by_pattern
        if self.other is not None:
            yield self.other


def _group(name: str) -> str:
    return f"({'.*'.join(map(re.escape, name.split(ANY)))})"


@final
class AnswerPrices(msgspec.Struct, frozen=True):
    """Prices by the answer's status (`header` None) or one of its headers (lower case); there is always a ``*``."""

    header: bytes | None
    choices: "Choices[Price | AnswerPrices]"

    @property
    def name(self) -> str:
        """What it depends on, for people."""
        return "the answer's status" if self.header is None else f"the answer's header {self.header.decode()}"

    @property
    def key(self) -> str:
        """As it is written after ``by:``, and recorded."""
        return "response.status" if self.header is None else f"response.header.{self.header.decode()}"

    @property
    def fallback(self) -> Price:
        """The price of an answer that says nothing about it."""
        other = self.choices.other
        assert other is not None
        return other.fallback if isinstance(other, AnswerPrices) else other

    def of_answer(self, status: int, fields: Fields) -> tuple[Price, str]:
        """The price of the answer with this head, and the words that say why; `fields` has lower-case names."""
        if self.header is None:
            value: str | None = str(status)
        else:
            field = fields.get(self.header)
            value = None if field is None else field.decode("latin-1").strip()
        found, words = self.find(value), word(self.key, value)
        if isinstance(found, Price):
            return found, words
        price, inner = found.of_answer(status, fields)
        return price, words + inner

    def find(self, value: str | None) -> "Price | AnswerPrices":
        """The price for what the answer says; None: it does not say it."""
        found = self.choices.other if value is None else self.choices.find(value)
        assert found is not None
        return found

    def at(self, stands: Mapping[str, Stand]) -> "AnswerPrices":
        """The same prices where the counters with these names stand."""
        return AnswerPrices(self.header, self.choices.each(lambda price: price.at(stands)))

    def charge_up_to(self, usage: Usage, most: int = MAX_AMOUNT) -> int:
        """The most that any usage up to `usage` is charged, whatever the answer says."""
        return max(price.charge_up_to(usage, most) for price in self.choices)

    def lines_up_to(self, usage: Usage) -> list[Line]:
        """What the dearest price adds up."""
        return max(self.choices, key=lambda price: price.charge_up_to(usage)).lines_up_to(usage)


@final
class PriceList(msgspec.Struct, frozen=True):
    """Prices by one dimension of the request."""

    by: Dimension
    choices: "Choices[Price | AnswerPrices | PriceList | None]"

    def find(self, value: str) -> "Price | AnswerPrices | PriceList | None":
        """The price of a value; None for one that is denied, or that has no price.

        One that is a name here but for its capitals is denied: to an upstream that ignores them it is that name. Who
        the customer is, no upstream decides.
        """
        choices = self.choices
        if value in choices.exact:
            return choices.exact[value]
        if self.by.key == CUSTOMER:
            return choices.find(value)
        if value.lower() in choices.lower:
            return None
        match = choices.pattern.fullmatch(value)
        if match is not None and match.lastindex is not None:
            return choices.by_pattern[match.lastindex - 1]
        return None if choices.any_capitals.fullmatch(value) is not None else choices.other


class Version(msgspec.Struct, frozen=True):
    """A price and when it is in force: from `since_s` until before `until_s`, in seconds since 1970."""

    since_s: float
    until_s: float
    price: "Price | AnswerPrices | PriceList"


class PriceVersions(msgspec.Struct, frozen=True):
    """Versions in the order of time, none beside another; `now_s` is asked for each quote."""

    versions: Sequence[Version]
    now_s: Callable[[], float]

    def current(self) -> "Price | AnswerPrices | PriceList | None":
        """The price in force now; None when none is."""
        return self.at(self.now_s())

    def at(self, at_s: float) -> "Price | AnswerPrices | PriceList | None":
        """The price in force at a time."""
        for version in self.versions:
            if version.since_s <= at_s < version.until_s:
                return version.price
        return None


RequestPrice = Price | AnswerPrices | PriceList
"""A price, or what finds one, whatever the time."""
AnyPrice = RequestPrice | PriceVersions


def leaves(price: AnyPrice | None) -> Iterator[Price]:
    """All prices that could come of it."""
    match price:
        case RangedPrice():
            for each in price.ranges:
                yield from leaves(each.price)
        case Price():
            yield price
        case AnswerPrices() | PriceList():
            for inner in price.choices:
                yield from leaves(inner)
        case PriceVersions():
            for version in price.versions:
                yield from leaves(version.price)


def deciding_meters(price: AnyPrice | None) -> frozenset[str]:
    """The meters that decide which price it is."""
    match price:
        case RangedPrice():
            return frozenset(price.by).union(*(deciding_meters(each.price) for each in price.ranges))
        case AnswerPrices() | PriceList():
            return frozenset().union(*map(deciding_meters, price.choices))
        case PriceVersions():
            return frozenset().union(*(deciding_meters(version.price) for version in price.versions))
    return frozenset()


def body_fields(price: AnyPrice | None) -> frozenset[str]:
    """The fields of the request's body that decide."""
    match price:
        case PriceList():
            own = {price.by.body_field} - {""}
            return frozenset(own).union(*map(body_fields, price.choices))
        case PriceVersions():
            return frozenset().union(*(body_fields(version.price) for version in price.versions))
    return frozenset()


def needs_external_id(price: AnyPrice | None) -> bool:
    """Whether a customer's price may depend on the operator's own id of it."""
    match price:
        case PriceList():
            choices = price.choices
            by_name = bool(choices.by_pattern) or not all(map(is_customer_id, choices.exact))
            return (by_name and price.by.key == CUSTOMER) or any(map(needs_external_id, choices))
        case PriceVersions():
            return any(needs_external_id(version.price) for version in price.versions)
    return False


def needs_body(price: AnyPrice | None) -> bool:
    """Whether a request has no price when no field of its body can be read."""
    match price:
        case None:
            return True
        case PriceList() if price.by.body_field:
            return needs_body(price.choices.other)
        case PriceList():
            return any(needs_body(inner) for inner in price.choices if inner is not None)
        case PriceVersions():
            return any(needs_body(version.price) for version in price.versions)
    return False
