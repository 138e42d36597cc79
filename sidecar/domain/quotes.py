"""What a request may cost: its price, its hold, and what must change in it so that its answer can be charged.

A quote is made once, before anything is reserved; the price that it names is the price that is charged. It reads
only the fields that the rule needs, decoded by a small typed record that is made when rules load.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.fields import Fields
from sidecar.domain.hold_terms import BODY_BYTES, Term, whole
from sidecar.domain.json_text import repeats
from sidecar.domain.metering import RELEASED, Bill, Charge, End, Meter, Meters, OnUnknown, open_meter
from sidecar.domain.meters.openai_chat import ask_for_usage, asks_for_usage
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price import Number, Price

ANY = "*"
_STREAM = "stream"
_STREAM_OPTIONS = "stream_options"


class RequestFacts(msgspec.Struct, frozen=True):
    """All that a quote may see of a request.

    `fields` has lower-case names; `body` is None when it was not read or is larger than the limit; `body_bytes` is 0
    when unknown.
    """

    fields: Fields
    path: bytes
    query: bytes
    body: bytes | None
    body_bytes: int = 0


class Unquoted(msgspec.Struct, frozen=True):
    """The request may not pass: `UNPRICED` or `UNREADABLE_REQUEST`. `detail` is a sentence for the caller."""

    code: RefusalCode
    detail: str


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of one request, in base units of the rule's unit.

    `body`: the request body to send instead; None leaves it. `plain_answer`: ask for an answer without content
    coding, since events are taken out of it. `readable_codings`: ask only for codings that the meter can decode.
    """

    bill: Bill
    body: bytes | None = None
    plain_answer: bool = False
    readable_codings: bool = False

    @property
    def hold(self) -> int:
        """The amount to hold."""
        return self.bill.hold

    def meter(self, status: int, fields: Fields) -> Meter:
        """The meter for the answer that has this head; `fields` has lower-case names."""
        return open_meter(self.bill, status, fields, hides=self.plain_answer)

    def without_answer(self, end: End) -> Charge:
        """The charge for a forwarded request that ended before any head of an answer came."""
        return RELEASED if end is End.UPSTREAM_FAILED else self.bill.unknown({})


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """Prices by a text field of the request; None is a price that denies. Exact first, then patterns, then ``*``."""

    by: str
    exact: Mapping[str, Price | None]
    patterns: tuple[tuple[re.Pattern[str], Price | None], ...]
    other: Price | None

    @classmethod
    def of(cls, by: str, rates: Mapping[str, Price | None]) -> "PriceList":
        """`rates` in the order of the file, where ``*`` in a name stands for any text."""
        patterns = [(name, price) for name, price in rates.items() if ANY in name and name != ANY]
        return cls(
            by=by,
            exact={name: price for name, price in rates.items() if ANY not in name},
            patterns=tuple((_pattern(name), price) for name, price in patterns),
            other=rates.get(ANY),
        )

    def find(self, value: str) -> Price | None:
        if value in self.exact:
            return self.exact[value]
        for pattern, price in self.patterns:
            if pattern.match(value):
                return price
        return self.other


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, name.split(ANY))) + r"\Z", re.DOTALL)


class BodyFields:
    """Reads the named fields of a JSON body; a dotted name goes into objects."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._nested = [(name, name.split(".")[1:]) for name in self._names if "." in name]
        roots = [name.split(".", maxsplit=1)[0] for name in self._names]
        attributes = {root: f"field_{index}" for index, root in enumerate(dict.fromkeys(roots))}
        record = msgspec.defstruct(
            "Body",
            [(attribute, Any, None) for attribute in attributes.values()],
            rename={attribute: root for root, attribute in attributes.items()},
            gc=False,
        )
        self._decoder = msgspec.json.Decoder(record)
        self._values = _getter([attributes[root] for root in roots])

    def read(self, body: bytes | None) -> dict[str, Any] | None:
        """Each name's value, None where it is absent; None when the body is not a JSON object."""
        if body is None:
            return None
        try:
            record = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        values = dict(zip(self._names, self._values(record), strict=True))
        for name, steps in self._nested:
            for step in steps:
                values[name] = values[name].get(step) if isinstance(values[name], dict) else None
        return values


def _getter(attributes: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    # `attrgetter` answers with a tuple only for two attributes or more.
    if len(attributes) > 1:
        return operator.attrgetter(*attributes)
    return lambda record: tuple(getattr(record, attribute) for attribute in attributes)


class Quoter:
    """Makes the quotes of one rule; see the fields of a rule in ``docs/rules.md``."""

    def __init__(
        self,
        *,
        meters: Meters,
        price: Price | PriceList,
        hold: int | Mapping[str, Term],
        max_charge: int | None = None,
        on_unknown: OnUnknown = OnUnknown.CHARGE_HOLD,
        hold_when_unreadable: bool = False,
    ) -> None:
        self.meters = meters
        self.price = price
        self.hold = hold
        self.max_charge = MAX_AMOUNT if max_charge is None else max_charge
        self.on_unknown = on_unknown
        self.hold_when_unreadable = hold_when_unreadable
        self.cost_headers = frozenset(name for _, name in meters.headers)
        self._asks = meters.reader is not None and meters.reader.asks
        terms = {} if isinstance(hold, int) else hold
        self._counts = tuple(sorted({field for term in terms.values() for field in term.fields}))
        names = set(self._counts)
        names |= {price.by} if isinstance(price, PriceList) else set()
        names |= {_STREAM, _STREAM_OPTIONS} if self._asks else set()
        self._by = price.by.split(".") if isinstance(price, PriceList) else []
        self._reads_fields = bool(names)
        self._sized = any(term.sized for term in terms.values())
        self.reads_body = self._reads_fields or self._sized
        self.fields = BodyFields(sorted(names))

    def quote(self, facts: RequestFacts) -> Quote | Unquoted:
        """A quote, or `Unquoted` when the body cannot be read, or when nothing has a price; in this order."""
        values: dict[str, Any] = {}
        # A body without a size is one in chunks that is too large to be read: a hold for nothing would be no hold.
        readable = not (self._sized and facts.body is None and not facts.body_bytes)
        if self._reads_fields and readable:
            read = self.fields.read(facts.body)
            readable = read is not None
            values = read or {}
        if not (readable or self.hold_when_unreadable):
            return Unquoted(RefusalCode.UNREADABLE_REQUEST, _unreadable(facts))
        price = self.price_of(values, facts.body) if isinstance(self.price, PriceList) else self.price
        if isinstance(price, Unquoted):
            return price
        bill = self.bill(price, self.estimate(values, facts.body_bytes))
        if self._asks and values.get(_STREAM) is True and not asks_for_usage(values[_STREAM_OPTIONS]):
            assert facts.body is not None
            body = ask_for_usage(facts.body)
            return Quote(bill=bill, body=body, plain_answer=body is not None, readable_codings=True)
        return Quote(bill=bill, readable_codings=self.meters.reader is not None)

    def estimate(self, values: Mapping[str, Any], body_bytes: int) -> dict[str, Number]:
        """What each hold term comes to; empty for a fixed hold."""
        if isinstance(self.hold, int):
            return {}
        known = {name: whole(values.get(name)) for name in self._counts}
        known[BODY_BYTES] = body_bytes
        return {meter: term.value(known) for meter, term in self.hold.items()}

    def bill(self, price: Price, estimate: Mapping[str, Number]) -> Bill:
        """What to hold for an estimate at this price, and how to charge it later."""
        hold = self.hold if isinstance(self.hold, int) else price.charge(estimate)
        return Bill(
            meters=self.meters,
            price=price,
            hold=min(hold, self.max_charge),
            max_charge=self.max_charge,
            on_unknown=self.on_unknown,
        )

    def price_of(self, values: Mapping[str, Any], body: bytes | None) -> Price | Unquoted:
        """The price by the request's field; a field that stands there twice has no value we could rely on."""
        assert isinstance(self.price, PriceList)
        by = self.price.by
        value = values.get(by)
        if body is not None and repeats(body, self._by):
            return Unquoted(RefusalCode.UNREADABLE_REQUEST, f"The request has `{by}` more than once; send it once.")
        price = self.price.find(value) if isinstance(value, str) else self.price.other
        if price is not None:
            return price
        if isinstance(value, str):
            return Unquoted(RefusalCode.UNPRICED, f"There is no price for {by} {_shown(value)} here.")
        return Unquoted(
            RefusalCode.UNREADABLE_REQUEST, f"The request needs `{by}`, as text: its price depends on it."
        )


def _shown(value: str) -> str:
    return ascii(value if len(value) <= 64 else value[:64] + "…")


def _unreadable(facts: RequestFacts) -> str:
    if facts.body is None:
        return "The request's body is too large to be read, and what it may cost depends on it."
    return "The request's body must be a JSON object, without content coding: its price depends on it."
