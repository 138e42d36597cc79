"""Holds that follow what requests cost, within what is certain and what may be."""

import json
from fractions import Fraction
from typing import Any

from sidecar.domain import request_meters
from sidecar.domain.hold_terms import Term
from sidecar.domain.metering import Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.quotes import Quote, Quoter
from sidecar.domain.recent_costs import RecentCosts
from sidecar.domain.recent_quotes import RecentQuoter
from sidecar.domain.request_facts import RequestFacts

NO_FIELDS: dict[bytes, bytes] = {}
CHAT = Meters(reader=READERS["openai.chat"])
EACH = Price.of({"input_tokens": Fraction(1), "output_tokens": Fraction(1)})
HOLD = {"input_tokens": Term.parse("10"), "output_tokens": Term.parse("request.max_tokens or 1024")}


def quoted(quoter: Quoter, body: dict[str, Any] | None) -> Quote:
    text = json.dumps(body).encode() if body is not None else None
    quote = quoter.quote(RequestFacts(NO_FIELDS, b"/", b"", text, 30))
    assert isinstance(quote, Quote)
    return quote


def recent(percentile: int, *costs: int) -> RecentCosts:
    known = RecentCosts(Fraction(percentile), 4)
    for cost in costs:
        known.add(cost)
    return known


def test_a_hold_follows_what_requests_cost() -> None:
    quoter = RecentQuoter(recent(50), meters=CHAT, price=EACH, hold=HOLD)
    assert quoted(quoter, {"max_tokens": 90}).hold == 100
    for cost in (3, 5, 7, 9):
        quoter.recent.add(cost)
    assert [quoted(quoter, body).hold for body in ({"max_tokens": 90}, {"max_tokens": 9000})] == [5, 5]


def test_a_recent_hold_is_at_least_what_is_certain_and_at_most_what_may_be_charged() -> None:
    price = Price.of({"cost": Fraction(1), "n": Fraction(10)}, 5)
    meters = Meters(headers=(("cost", b"x-cost"),), requests=(("n", request_meters.of_body("n", default=1)),))
    quoter = RecentQuoter(recent(100, 1, 2, 3, 40), meters=meters, price=price, hold=7, max_charge=60)
    assert [quoted(quoter, {"n": n}).hold for n in (1, 4, 9)] == [40, 45, 60]
    quoter.recent.add(99)
    assert quoted(quoter, {}).hold == 60


def test_a_recent_hold_needs_no_body() -> None:
    quoter = RecentQuoter(recent(50), meters=Meters(headers=(("cost", b"x-cost"),)), price=EACH, hold=700)
    assert not quoter.reads_body
    assert quoted(quoter, None).hold == 700
