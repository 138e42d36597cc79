"""Quotes of rules whose prices go on over a period: the same as others, but that they depend on counters.

Where a customer's counters stand is not known when a request is quoted, only when its hold is taken. So a quote is
made as for a customer who has used nothing, names its counters, and is moved to where they stand (`placed`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Advance, Counter, Stand
from sidecar.domain.errors import InvalidInput
from sidecar.domain.price import Usage
from sidecar.domain.price_counted import by_name, counted_in, countings_in
from sidecar.domain.price_list import leaves
from sidecar.domain.quotes import Quote, Quoter, Unquoted
from sidecar.domain.request_facts import RequestFacts


class CountedQuoter(Quoter):
    """Makes the quotes of a rule that counts; `now_s` says which period it is."""

    def __init__(self, *, now_s: Callable[[], float], **terms: Any) -> None:
        super().__init__(**terms)
        self._now_s = now_s

    def quote(self, facts: RequestFacts) -> Quote | Unquoted:
        quote = super().quote(facts)
        if isinstance(quote, Unquoted):
            return quote
        now_s = self._now_s()
        counters = {counting.name: counting.at(now_s) for counting in countings_in(quote.by_answer or quote.price)}
        return replace(
            quote, counters=counters, estimated=None if isinstance(self.hold, int) else self.estimate(facts)
        )


def placed(quote: Quote, stands: Mapping[str, Stand]) -> Quote:
    """`quote` where counters with these keys stand."""
    if not quote.counters:
        return quote
    named = by_name(quote.counters, stands)
    price, by_answer = quote.price.at(named), quote.by_answer.at(named) if quote.by_answer is not None else None
    hold = quote.hold
    if quote.estimated is not None:
        hold = (by_answer or price).charge_up_to(quote.estimated, quote.tariff.max_charge)
    return replace(quote, price=price, by_answer=by_answer, hold=hold)


def at_positions(quote: Quote, positions: Mapping[str, int]) -> Quote:
    """`quote` where the counters of these meters stand there; InvalidInput for one that has none."""
    counters: dict[str, Counter] = {}
    for price in leaves(quote.by_answer or quote.price):
        for schedule in counted_in(price):
            counters |= dict.fromkeys(schedule.meters, quote.counters[schedule.counting.name])
    for meter in positions:
        if meter not in counters:
            known = ", ".join(f"`{each}`" for each in counters) or "no meter"
            raise InvalidInput(f"`{meter}` is not counted over a period here; {known} is.", "position")
    return placed(quote, {counters[meter].key: Stand(position) for meter, position in positions.items()})


class Claims:
    """What a quote's hold claims of counters: the amount, and what may be counted by then."""

    def __init__(self, quote: Quote) -> None:
        self._quote = quote
        self.counters: tuple[Counter, ...] = tuple(quote.counters.values())

    def at(self, stands: Mapping[str, Stand]) -> tuple[int, tuple[Advance, ...]]:
        """The amount where counters with these keys stand, and for each of `counters` what it may count."""
        quote = placed(self._quote, stands)
        usage = quote.estimated
        return quote.hold, tuple(_claim(quote, name, usage) for name in quote.counters)


def _claim(quote: Quote, name: str, usage: Usage | None) -> Advance:
    """What the hold may count there, whatever the answer will say."""
    counter = quote.counters[name]
    if usage is None:
        return Advance(counter)
    spans = [
        schedule.claimed(usage)
        for price in leaves(quote.by_answer or quote.price)
        for schedule in counted_in(price)
        if schedule.counting.name == name
    ]
    units, low = max(span.units for span in spans), max(span.low for span in spans)
    return Advance(counter, units, low, min(MAX_AMOUNT, *(span.high for span in spans)))
