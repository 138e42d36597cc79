"""What a request may cost: its price, its hold, and what must change in it so that its answer can be charged.

A quote is made once, before anything is reserved; the price that it names is the price that is charged. All that does
not depend on the request is worked out when rules load, since a quote is made for each request: the record that reads
its fields, the function that estimates its usage, the tariff.
"""

import operator
from collections.abc import Mapping
from typing import Any, final

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.body_fields import BodyFields, field
from sidecar.domain.estimates import SAMPLE_MAX_BYTES, Estimate
from sidecar.domain.fields import Fields
from sidecar.domain.forms import Sizes, fields_of
from sidecar.domain.hold_terms import Term, estimator
from sidecar.domain.metering import (
    RELEASED,
    SUCCESS,
    Bill,
    Charge,
    End,
    Meter,
    Meters,
    OnUnknown,
    Tariff,
    open_meter,
)
from sidecar.domain.meters.openai_chat import ask_for_usage, asks_for_usage
from sidecar.domain.meters.reader import Reading
from sidecar.domain.multipart import FormError
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price import Line, Price, Usage
from sidecar.domain.price_dimensions import CUSTOMER, Doubt
from sidecar.domain.price_list import AnswerPrices, AnyPrice, PriceList, PriceVersions, body_fields, needs_external_id
from sidecar.domain.recent_costs import RecentCosts
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.usage_words import word

_STREAM = "stream"
_STREAM_OPTIONS = "stream_options"
_NOTHING: Reading = {}
_MODEL = "model"
"""Recorded wherever a rule reads answers, and fields of requests: what most prices go by, now or later."""
_MODEL_NAME = f"request.{_MODEL}"
_MODEL_WORD = f" {_MODEL_NAME}="
_model = operator.attrgetter(field(_MODEL))
_streaming = operator.attrgetter(field(_STREAM), field(_STREAM_OPTIONS))


@final
class Unquoted(msgspec.Struct, frozen=True):
    """The request may not pass: `UNPRICED` or `UNREADABLE_REQUEST`. `detail` is a sentence for the caller."""

    code: RefusalCode
    detail: str


class Quote(Bill, frozen=True):
    """The terms of one request: how it will be charged, and what must change in it for that.

    `body`: the request body to send instead; None leaves it. `plain_answer`: ask for an answer without content
    coding, since events are taken out of it. `readable_codings`: ask only for codings that the meter can decode.
    `by_answer`: the prices among which the answer's head chooses; `price` is then that of an answer that does not.
    `form` must be shown each piece of the request's body once.
    """

    body: bytes | None = None
    plain_answer: bool = False
    readable_codings: bool = False
    by_answer: AnswerPrices | None = None
    form: Sizes | None = None

    def meter(self, status: int, fields: Fields) -> Meter:
        """The meter for the answer that has this head; `fields` has lower-case names."""
        bill = self if self.by_answer is None else self.bill(status, fields)
        return open_meter(bill, status, fields, hides=self.plain_answer)

    def bill(self, status: int, fields: Fields) -> Bill:
        """What the answer that has this head is charged by."""
        if self.by_answer is None:
            return self
        price, words = self.by_answer.of_answer(status, fields)
        return Bill(
            *(self.tariff, price, self.hold, self.given, self.chosen_by + words, self.request_bytes, self.sample),
            counters=self.counters,
            estimated=self.estimated,
        )

    def hold_lines(self, estimate: Usage) -> list[Line]:
        """What a hold for `estimate` adds up, line by line: the dearest of all that it could cost."""
        return (self.by_answer or self.price).lines_up_to(estimate)

    def without_answer(self, end: End) -> Charge:
        """The charge for a forwarded request that ended before any head of an answer came."""
        return RELEASED if end is End.UPSTREAM_FAILED else self.unknown({})


class Quoter:
    """Makes the quotes of one rule; see the fields of a rule in ``docs/rules.md``."""

    recent: RecentCosts | None = None

    def __init__(
        self,
        *,
        meters: Meters,
        price: AnyPrice,
        hold: int | Mapping[str, Term],
        max_charge: int | None = None,
        on_unknown: OnUnknown = OnUnknown.CHARGE_HOLD,
        charge_on: frozenset[int] = SUCCESS,
        hold_when_unreadable: bool = False,
        estimate: Estimate | None = None,
    ) -> None:
        self.price = price
        # Told apart once, and by `type` for each request: `isinstance` of a record that it is not takes 0.2 µs.
        self._price = price if isinstance(price, Price) else None
        self._list = None if isinstance(price, PriceVersions) else price
        self._current = price.current if isinstance(price, PriceVersions) else lambda: None
        self.hold = hold
        self.hold_when_unreadable = hold_when_unreadable
        most = MAX_AMOUNT if max_charge is None else max_charge
        self.tariff = Tariff(meters, most, on_unknown, charge_on, estimate)
        self._samples = estimate is not None and estimate.tokenizer is not None
        self.cost_headers = frozenset(name for _, name in (*meters.headers, *meters.trailers))
        terms = {} if isinstance(hold, int) else hold
        self._fixed_hold = min(hold, self.tariff.max_charge) if isinstance(hold, int) else None
        self._estimate = estimator(terms)
        self._sized = any(term.sized for term in terms.values())
        self._asks = meters.reader is not None and meters.reader.asks
        self._readable_codings = meters.reader is not None
        self._given = meters.requests
        self._parts = meters.parts
        self._priced_by_body = bool(body_fields(price))
        fields = set(body_fields(price)) | ({_STREAM, _STREAM_OPTIONS} if self._asks else set())
        fields |= {told.body_field for _, told in meters.requests if told.body_field}
        counts = {name for term in terms.values() for name in term.fields}
        self._notes_model = meters.reader is not None and bool(fields or counts)
        if self._notes_model:
            fields.add(_MODEL)
        self._fields = BodyFields(fields, counts)
        self._reads_fields = bool(fields or counts)
        self.needs_external_id = needs_external_id(price)
        self.reads_content = self._reads_fields or self._samples
        self.reads_body = self.reads_content or self._sized

    def quote(self, facts: RequestFacts) -> Quote | Unquoted:
        """A quote, or `Unquoted` when the body cannot be read, or when nothing has a price; in this order."""
        request = self._request(facts)
        if type(request) is Unquoted:
            return request
        price, by_answer, chosen_by = self._price, None, ""
        if price is None:
            found = self._price_of(request, facts)
            if type(found) is Unquoted:
                return found
            price, by_answer, chosen_by = found
        if self._notes_model and _MODEL_WORD not in chosen_by:
            model = _model(request)
            if type(model) is str:
                chosen_by += word(_MODEL_NAME, model)
        given = self._read_given(request, facts) if self._given else _NOTHING
        if type(given) is Doubt:
            return Unquoted(RefusalCode.UNREADABLE_REQUEST, given.detail)
        tariff, hold = self.tariff, self._fixed_hold
        if hold is None:
            estimate = self._estimate(request, facts.body_bytes)
            hold = (by_answer or price).charge_up_to(estimate | given if given else estimate, tariff.max_charge)
        size = facts.body_bytes
        sample = facts.body[:SAMPLE_MAX_BYTES] if self._samples and facts.body is not None else b""
        body, plain = None, False
        if self._asks:
            stream, options = _streaming(request)
            if stream is True and not asks_for_usage(options):
                assert facts.body is not None
                body = ask_for_usage(facts.body)
                plain = body is not None
        codings = self._readable_codings
        quote = Quote(tariff, price, hold, given, chosen_by, size, sample, body, plain, codings, by_answer)
        return self._with_sizes(quote, facts) if self._parts else quote

    def estimate(self, facts: RequestFacts) -> Usage:
        """What each hold term comes to, and what the request itself tells; the former is empty for a fixed hold."""
        request = self._request(facts)
        unquoted = isinstance(request, Unquoted)
        estimate = self._estimate(self._fields.nothing if unquoted else request, facts.body_bytes)
        given = {} if unquoted else self._read_given(request, facts)
        return estimate if isinstance(given, Doubt) else {**estimate, **given}

    def _read_given(self, request: Any, facts: RequestFacts) -> Reading | Doubt:
        """The usage that the request itself tells."""
        given: Reading = {}
        for meter, told in self._given:
            reading = told.read(request, facts)
            if isinstance(reading, Doubt):
                return reading
            given[meter] = reading
        return given

    def _request(self, facts: RequestFacts) -> Any:
        """The record of what the rule reads, or `Unquoted` when it cannot be read, and must be."""
        if self._reads_fields:
            if facts.form and facts.body is not None:
                return self._form(facts, facts.body)
            request = self._fields.read(facts.body) if facts.body is not None else None
            if request is not None:
                return request
        elif not self._sized or facts.body is not None or facts.body_bytes:
            return self._fields.nothing
        # A body without a size is one in chunks that is too large to be read: a hold for nothing would be no hold.
        if self.hold_when_unreadable:
            return self._fields.nothing
        return Unquoted(RefusalCode.UNREADABLE_REQUEST, _unreadable(facts))

    def _form(self, facts: RequestFacts, body: bytes) -> Any:
        """As `_request`, of a form. One that may be read in two ways never gets the price of one without fields."""
        try:
            return self._fields.of_text(fields_of(facts.fields, body, self._fields.names))
        except FormError as error:
            if self.hold_when_unreadable and not self._priced_by_body:
                return self._fields.nothing
            return Unquoted(RefusalCode.UNREADABLE_REQUEST, str(error))

    def _with_sizes(self, quote: Quote, facts: RequestFacts) -> Quote | Unquoted:
        """The quote with what counts the parts of the request's form."""
        given = dict(quote.given)
        try:
            form = Sizes(facts.fields, self._parts, given)
        except FormError as error:
            return Unquoted(RefusalCode.UNREADABLE_REQUEST, str(error))
        return msgspec.structs.replace(quote, given=given, form=form)

    def _price_of(self, request: Any, facts: RequestFacts) -> tuple[Price, AnswerPrices | None, str] | Unquoted:
        """The price that the request has now, one dimension after the other, and the words that say why."""
        price = self._list if self._list is not None else self._current()
        if price is None:
            return Unquoted(RefusalCode.UNPRICED, "There is no price in force at this time.")
        words = ""
        while type(price) is PriceList:
            value = price.by.read(request, facts)
            if type(value) is Doubt:
                return Unquoted(RefusalCode.UNREADABLE_REQUEST, value.detail)
            found = price.choices.other if value is None else price.find(value)
            if found is None:
                return _UNPRICED_CUSTOMER if price.by.key == CUSTOMER else _unpriced(price.by.name, value)
            words += word(price.by.key, value)
            price = found
        return (price.fallback, price, words) if isinstance(price, AnswerPrices) else (price, None, words)


_UNPRICED_CUSTOMER = Unquoted(RefusalCode.UNPRICED, "There is no price for this customer here.")
"""Without a name: who asks has not been asked for its credential yet."""


def _unpriced(name: str, value: str | None) -> Unquoted:
    if value is not None:
        return Unquoted(RefusalCode.UNPRICED, f"There is no price for {name} {_shown(value)} here.")
    return Unquoted(RefusalCode.UNREADABLE_REQUEST, f"The request needs `{name}`: its price depends on it.")


def _shown(value: str) -> str:
    return ascii(value if len(value) <= 64 else value[:64] + "…")


def _unreadable(facts: RequestFacts) -> str:
    if facts.body is None:
        return "The request's body is too large to be read, and what it may cost depends on it."
    return "The request's body must be a JSON object or a form, without content coding: its price depends on it."
