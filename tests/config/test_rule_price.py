"""What `price:` means, with `markup` and `min_charge`; what is wrong with them is in ``cases``."""

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_price import rated_meters, read_amount, read_markup, read_price
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.ids import new_id
from sidecar.domain.match import PathPattern
from sidecar.domain.metering import Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.price_list import AnswerPrices, AnyPrice, PriceList, PriceVersions, needs_external_id
from sidecar.domain.request_facts import RequestFacts

CHAT = Meters(reader=READERS["openai.chat"])
EMBEDDINGS = Meters(reader=READERS["openai.embeddings"])
COST = Meters(headers=(("cost", b"x-cost"), ("pages", b"x-pages")))


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


def cost(text: str, usage: dict[str, int], meters: Meters = COST) -> int:
    """What `usage` costs in base units, where one unit is a millionth of a credit."""
    price = read_price(at(text), CREDITS, meters)
    assert isinstance(price, Price)
    return price.charge(usage)


def rates(price: AnyPrice | None) -> dict[str, Fraction]:
    assert isinstance(price, Price)
    return dict(price.rates)


def test_one_price() -> None:
    price = read_price(at("{input_tokens: 0.02 per 1M, flat: 0.5}"), CREDITS, EMBEDDINGS)
    assert rates(price) == {"input_tokens": Fraction(2, 100)}
    assert isinstance(price, Price)
    assert price.flat == 500_000


def test_a_token_has_one_rate_its_own_or_the_one_around_it() -> None:
    own = read_price(at("{input_tokens: 2 per 1M, cached_input_tokens: 1 per 1M}"), CREDITS, CHAT)
    assert rates(own) == {"input_tokens": 2, "input_audio_tokens": 2, "cached_input_tokens": 1}
    around = read_price(at("{input_tokens: 2 per 1M}"), CREDITS, CHAT)
    assert rates(around) == {"input_tokens": 2, "input_audio_tokens": 2, "cached_input_tokens": 2}
    cached_only = read_price(at("{cached_input_tokens: 1 per 1M}"), CREDITS, CHAT)
    assert rates(cached_only) == {"cached_input_tokens": 1}
    free_cache = read_price(at("{input_tokens: 2 per 1M, cached_input_tokens: 0}"), CREDITS, CHAT)
    assert rates(free_cache) == {"input_tokens": 2, "input_audio_tokens": 2, "cached_input_tokens": 0}


def quoted(price: AnyPrice | None, path: bytes = b"/", query: bytes = b"", **fields: str) -> Price | None:
    """The price that a request without a body has, its headers being `fields`."""
    headers = {name.encode(): value.encode() for name, value in fields.items()}
    facts = RequestFacts(headers, path, query, None)
    found = price.current() if isinstance(price, PriceVersions) else price
    while isinstance(found, PriceList):
        value = found.by.read(None, facts)
        assert isinstance(value, str)
        found = found.find(value)
    assert isinstance(found, Price | None)
    return found


def test_prices_by_a_field() -> None:
    text = '{by: request.a.model, rates: {x: {flat: 1}, "y*": deny, "z*": {flat: 2}, "*": {input_tokens: 1}}}'
    prices = read_price(at(text), CREDITS, CHAT)
    assert isinstance(prices, PriceList)
    assert prices.by.body_field == "a.model"
    found = [prices.choices.find(value) for value in ("x", "y", "z", "w")]
    assert [price.flat if isinstance(price, Price) else None for price in found] == [1_000_000, None, 2_000_000, 0]
    assert rated_meters(prices) == ["input_tokens", "input_audio_tokens", "cached_input_tokens"]


@pytest.mark.parametrize(
    ("by", "facts"),
    [
        ("header.X-Size", {"x-size": "big"}),
        ("query.size", {"query": b"a=1&size=big"}),
        ("path.size", {"path": b"/v1/big.png"}),
    ],
)
def test_prices_by_what_is_not_in_the_body(by: str, facts: dict[str, Any]) -> None:
    text = f"{{by: {by}, rates: {{small: {{flat: 1}}, big: {{flat: 2}}}}}}"
    price = quoted(read_price(at(text), CREDITS, COST, path=PathPattern.parse("/v1/{size}.png")), **facts)
    assert price is not None
    assert price.flat == 2_000_000


@pytest.mark.parametrize(
    "text",
    [
        "{by: [header.a, query.b], rates: {x: {y: {flat: 3}}, z: {y: deny}}}",
        "{by: header.a, rates: {x: {by: query.b, rates: {y: {flat: 3}}}, z: deny}}",
    ],
)
def test_prices_by_two_things(text: str) -> None:
    prices = read_price(at(text), CREDITS, COST)
    price = quoted(prices, query=b"b=y", a="x")
    assert price is not None
    assert price.flat == 3_000_000
    assert quoted(prices, query=b"b=other", a="x") is None
    assert quoted(prices, query=b"b=y", a="z") is None


def test_prices_by_the_answer() -> None:
    text = """{by: [header.a, response.header.X-Cache, response.status],
        rates: {x: {HIT: {"304": {flat: 0}, "*": {flat: 1}}, "*": {"*": {flat: 2}}}}}"""
    prices = read_price(at(text), CREDITS, COST, charge_on=frozenset({200, 304}))
    assert isinstance(prices, PriceList)
    of_answer = prices.choices.find("x")
    assert isinstance(of_answer, AnswerPrices)
    flats = [
        of_answer.of_answer(status, fields)[0].flat
        for status, fields in ((304, {b"x-cache": b"HIT"}), (200, {b"x-cache": b"HIT"}), (304, {}))
    ]
    assert flats == [0, 1_000_000, 2_000_000]


@pytest.mark.parametrize(
    ("text", "usage", "amount"),
    [
        ("{pages: 0.000003 per started 1000}", {"pages": 0}, 0),
        ("{pages: 0.000003 per started 1000}", {"pages": 1}, 3),
        ("{pages: 0.000003 per started 1k}", {"pages": 1000}, 3),
        ("{pages: 0.000003 per started 1000}", {"pages": 1001}, 6),
        ("{pages: {free: 100, rate: 0.000002}}", {"pages": 100}, 0),
        ("{pages: {free: 100, rate: 0.000002}, flat: 0.000001}", {"pages": 101}, 3),
        ("{pages: {free: 1k, rate: 0.000002 per started 10}}", {"pages": 1011}, 4),
        ("{pages: {graduated: [{up_to: 10, rate: 0.000005}, {flat: 0.000007}]}}", {"pages": 12}, 57),
        ("{pages: {volume: [{up_to: 10, rate: 0.000005}, {rate: 0.000001}]}}", {"pages": 12}, 12),
        ("{pages: {free: 2, volume: [{up_to: 10, rate: 0.000005}, {rate: 0.000001}]}}", {"pages": 12}, 50),
    ],
)
def test_schedules(text: str, usage: dict[str, int], amount: int) -> None:
    assert cost(text, usage) == amount


def test_an_allowance_is_for_a_class_and_all_in_it() -> None:
    text = "{input_tokens: {free: 100, rate: 0.000002}, output_tokens: 0.000001}"
    assert cost(text, {"input_tokens": 60, "cached_input_tokens": 50, "output_tokens": 5}, CHAT) == 2 * 10 + 5
    own = "{input_tokens: {free: 100, rate: 0.000002}, cached_input_tokens: 0.000001}"
    assert cost(own, {"input_tokens": 60, "cached_input_tokens": 50}, CHAT) == 50
    price = read_price(at(text), CREDITS, CHAT)
    assert price is not None
    assert set(rated_meters(price)) == set(CHAT.names)


def test_a_markup_is_on_all_of_a_price_but_not_on_the_least() -> None:
    price = read_price(at("{cost: 1, flat: 0.000010}"), CREDITS, COST, markup=Fraction(1, 4), least=14)
    assert isinstance(price, Price)
    assert [price.charge({"cost": Fraction(cost, 10**6)}) for cost in (0, 1, 2, 100)] == [14, 14, 15, 138]


VERSIONS = """
- {effective_at: 1970-01-01, until: 2026-07-01, price: {flat: 1}}
- {effective_at: 2026-07-01, price: {by: header.a, rates: {x: {flat: 2}}}}
- {effective_at: "2027-01-01T00:00:00+01:00", until: 2028-01-01, price: {flat: 3}}
"""


@pytest.mark.parametrize(
    ("now", "flat"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), 1),
        (datetime(2026, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC), 1),
        (datetime(2026, 7, 1, tzinfo=UTC), 2),
        (datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC), 2),
        (datetime(2026, 12, 31, 23, tzinfo=UTC), 3),
        (datetime(2028, 1, 1, tzinfo=UTC), None),
    ],
)
def test_the_version_in_force_counts(now: datetime, flat: int | None) -> None:
    price = quoted(read_price(at(VERSIONS), CREDITS, COST, now_s=now.timestamp), a="x")
    assert (price.flat if price is not None else None) == (flat * 1_000_000 if flat is not None else None)


def test_markups() -> None:
    assert [read_markup(at(text)) for text in ("20%", "12.5 %", "0%")] == [Fraction(1, 5), Fraction(1, 8), 0]


def test_an_amount() -> None:
    assert read_amount(at("0.25"), CREDITS) == 250_000
    assert read_amount(at("nothing"), CREDITS) is None


def test_prices_by_customer() -> None:
    text = '{by: [customer, request.model], rates: {Zoe\u0308: {"*": {flat: 1}}, "a*": deny, "*": {"*": {flat: 2}}}}'
    prices = read_price(at(text), CREDITS, CHAT)
    assert isinstance(prices, PriceList)
    assert prices.by.key == "customer"
    # As the store keeps external ids: composed.
    found = prices.find("Zo\u00eb")
    assert isinstance(found, PriceList)
    assert prices.find("acme") is None
    assert needs_external_id(prices)


def test_prices_by_our_own_ids() -> None:
    customer_id = new_id("cus", 1, bytes(10))
    inside = f'{{by: customer, rates: {{{customer_id}: {{flat: 1}}, "*": {{flat: 2}}}}}}'
    prices = read_price(at(f"{{by: request.model, rates: {{x: {inside}}}}}"), CREDITS, CHAT)
    assert isinstance(prices, PriceList)
    assert not needs_external_id(prices)
    inner = prices.find("x")
    assert isinstance(inner, PriceList)
    fields: dict[bytes, bytes] = {b"customer": customer_id.encode()}
    facts = RequestFacts(fields, b"/", b"", None, 0, "cus_other", customer_id)
    assert inner.by.read(None, facts) == "cus_other"
