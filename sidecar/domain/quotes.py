"""What a request may cost: its price, its hold, and what must change in it so that its answer can be charged.

A quote is made once, before anything is reserved; the price that it names is the price that is charged. All that does
not depend on the request is worked out when rules load, since a quote is made for each request: the record that reads
its fields, the function that estimates its usage, the tariff.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.body_fields import BodyFields, field
from sidecar.domain.fields import Fields
from sidecar.domain.hold_terms import Term, estimator
from sidecar.domain.json_text import finder_of_repeats
from sidecar.domain.metering import RELEASED, Bill, Charge, End, Meter, Meters, OnUnknown, Tariff, open_meter
from sidecar.domain.meters.openai_chat import ask_for_usage, asks_for_usage
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price import Price

ANY = "*"
_NO_TEXT = r"(?!)"
_STREAM = "stream"
_STREAM_OPTIONS = "stream_options"
_streaming = operator.attrgetter(field(_STREAM), field(_STREAM_OPTIONS))


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


class Quote(Bill, frozen=True):
    """The terms of one request: how it will be charged, and what must change in it for that.

    `body`: the request body to send instead; None leaves it. `plain_answer`: ask for an answer without content
    coding, since events are taken out of it. `readable_codings`: ask only for codings that the meter can decode.
    """

    body: bytes | None = None
    plain_answer: bool = False
    readable_codings: bool = False

    def meter(self, status: int, fields: Fields) -> Meter:
        """The meter for the answer that has this head; `fields` has lower-case names."""
        return open_meter(self, status, fields, hides=self.plain_answer)

    def without_answer(self, end: End) -> Charge:
        """The charge for a forwarded request that ended before any head of an answer came."""
        return RELEASED if end is End.UPSTREAM_FAILED else self.unknown({})


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """Prices by a text field of the request; None is a price that denies. Exact first, then patterns, then ``*``."""

    by: str
    value_in: Callable[[Any], Any]
    """The field in the record of a request."""
    repeated_in: Callable[[bytes], bool]
    """Whether a body has the field more than once."""
    exact: Mapping[str, Price | None]
    pattern: re.Pattern[str]
    """All patterns as one expression with a group for each, in the order of their prices in `by_pattern`."""
    by_pattern: tuple[Price | None, ...]
    other: Price | None

    @classmethod
    def of(cls, by: str, rates: Mapping[str, Price | None]) -> "PriceList":
        """`rates` in the order of the file, where ``*`` in a name stands for any text."""
        patterns = [name for name in rates if ANY in name and name != ANY]
        return cls(
            by=by,
            value_in=operator.attrgetter(field(by)),
            repeated_in=finder_of_repeats(by.split(".")),
            exact={name: price for name, price in rates.items() if ANY not in name},
            pattern=re.compile("|".join(map(_group, patterns)) or _NO_TEXT, re.DOTALL),
            by_pattern=tuple(rates[name] for name in patterns),
            other=rates.get(ANY),
        )

    def find(self, value: str) -> Price | None:
        if value in self.exact:
            return self.exact[value]
        match = self.pattern.fullmatch(value)
        return self.other if match is None or match.lastindex is None else self.by_pattern[match.lastindex - 1]


def _group(name: str) -> str:
    return f"({'.*'.join(map(re.escape, name.split(ANY)))})"


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
        self.price = price
        self.hold = hold
        self.hold_when_unreadable = hold_when_unreadable
        self.tariff = Tariff(meters, MAX_AMOUNT if max_charge is None else max_charge, on_unknown)
        self.cost_headers = frozenset(name for _, name in meters.headers)
        terms = {} if isinstance(hold, int) else hold
        self._fixed_hold = min(hold, self.tariff.max_charge) if isinstance(hold, int) else None
        self._estimate = estimator(terms)
        self._sized = any(term.sized for term in terms.values())
        self._asks = meters.reader is not None and meters.reader.asks
        self._readable_codings = meters.reader is not None
        fields = {price.by} if isinstance(price, PriceList) else set()
        fields |= {_STREAM, _STREAM_OPTIONS} if self._asks else set()
        counts = {name for term in terms.values() for name in term.fields}
        self._fields = BodyFields(fields, counts)
        self._reads_fields = bool(fields or counts)
        self.reads_body = self._reads_fields or self._sized

    def quote(self, facts: RequestFacts) -> Quote | Unquoted:
        """A quote, or `Unquoted` when the body cannot be read, or when nothing has a price; in this order."""
        request = self._request(facts)
        if request is None:
            return Unquoted(RefusalCode.UNREADABLE_REQUEST, _unreadable(facts))
        price = self.price
        if isinstance(price, PriceList):
            found = self._price_of(price, request, facts.body)
            if isinstance(found, Unquoted):
                return found
            price = found
        tariff, hold = self.tariff, self._fixed_hold
        if hold is None:
            hold = price.charge(self._estimate(request, facts.body_bytes), tariff.max_charge)
        if self._asks:
            stream, options = _streaming(request)
            if stream is True and not asks_for_usage(options):
                assert facts.body is not None
                body = ask_for_usage(facts.body)
                return Quote(tariff, price, hold, body, body is not None, True)
        return Quote(tariff, price, hold, None, False, self._readable_codings)

    def estimate(self, facts: RequestFacts) -> dict[str, int]:
        """What each hold term comes to; empty for a fixed hold."""
        request = self._request(facts)
        return self._estimate(self._fields.nothing if request is None else request, facts.body_bytes)

    def _request(self, facts: RequestFacts) -> Any:
        """The record of what the rule reads; None when it cannot be read, and must be."""
        if self._reads_fields:
            request = self._fields.read(facts.body) if facts.body is not None else None
            return self._fields.nothing if request is None and self.hold_when_unreadable else request
        # A body without a size is one in chunks that is too large to be read: a hold for nothing would be no hold.
        unknown = self._sized and facts.body is None and not facts.body_bytes
        return None if unknown and not self.hold_when_unreadable else self._fields.nothing

    def _price_of(self, prices: PriceList, request: Any, body: bytes | None) -> Price | Unquoted:
        """The price by the request's field; a field that stands there twice has no value we could rely on."""
        by, value = prices.by, prices.value_in(request)
        if body is not None and prices.repeated_in(body):
            return Unquoted(RefusalCode.UNREADABLE_REQUEST, f"The request has `{by}` more than once; send it once.")
        price = prices.find(value) if isinstance(value, str) else prices.other
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
