"""What `usage:`, `price:` and `hold:` mean; what is wrong with them is in ``cases``."""

from fractions import Fraction

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_cost import rated_meters, read_amount, read_hold, read_price, read_usage
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import Measure, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.quotes import PriceList

CHAT = Meters(reader=READERS["openai.chat"])
EMBEDDINGS = Meters(reader=READERS["openai.embeddings"])


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


@pytest.mark.parametrize("name", READERS)
def test_a_reader_by_name(name: str) -> None:
    assert read_usage(at(name)) == Meters(reader=READERS[name])


def test_meters_by_source() -> None:
    meters = read_usage(
        at(
            "{t: {json: /a/b, sse: {pointer: /c}}, h: {header: X-H}, "
            "u: {bytes: request}, d: {bytes: response}, s: {duration: ms}}"
        )
    )
    assert meters.names == ("t", "h", "u", "d", "s")
    assert meters.headers == (("h", b"x-h"),)
    assert meters.measures == (
        ("u", Measure.REQUEST_BYTES),
        ("d", Measure.RESPONSE_BYTES),
        ("s", Measure.DURATION_MS),
    )
    assert meters.reader is not None
    assert meters.reader.read_json(b'{"a": {"b": 3}}') == {"t": 3}


def rates(price: Price | PriceList | None) -> dict[str, Fraction]:
    assert isinstance(price, Price)
    return dict(price.rates)


def test_one_price() -> None:
    price = read_price(at("{input_tokens: 0.02 per 1M, flat: 0.5}"), CREDITS, EMBEDDINGS)
    assert rates(price) == {"input_tokens": Fraction(2, 100)}
    assert isinstance(price, Price)
    assert price.flat == 500_000


def test_a_token_has_one_rate_its_own_or_the_one_around_it() -> None:
    own = read_price(at("{input_tokens: 2 per 1M, cached_input_tokens: 1 per 1M}"), CREDITS, CHAT)
    assert rates(own) == {"input_tokens": 2, "cached_input_tokens": 1}
    around = read_price(at("{input_tokens: 2 per 1M}"), CREDITS, CHAT)
    assert rates(around) == {"input_tokens": 2, "cached_input_tokens": 2}
    cached_only = read_price(at("{cached_input_tokens: 1 per 1M}"), CREDITS, CHAT)
    assert rates(cached_only) == {"cached_input_tokens": 1}
    free_cache = read_price(at("{input_tokens: 2 per 1M, cached_input_tokens: 0}"), CREDITS, CHAT)
    assert rates(free_cache) == {"input_tokens": 2, "cached_input_tokens": 0}


def test_prices_by_a_field() -> None:
    text = '{by: request.a.model, rates: {x: {flat: 1}, "y*": deny, "z*": {flat: 2}, "*": {input_tokens: 1}}}'
    prices = read_price(at(text), CREDITS, CHAT)
    assert isinstance(prices, PriceList)
    assert prices.by == "a.model"
    found = [prices.find(value) for value in ("x", "y", "z", "w")]
    assert [price.flat if price is not None else None for price in found] == [1_000_000, None, 2_000_000, 0]
    assert rated_meters(prices) == ["input_tokens", "cached_input_tokens"]


def test_an_amount() -> None:
    assert read_amount(at("0.25"), CREDITS) == 250_000
    assert read_amount(at("nothing"), CREDITS) is None


@pytest.mark.parametrize(
    ("text", "hold"),
    [("0.25", 250_000), ("2", 2_000_000)],
)
def test_a_fixed_hold(text: str, hold: int) -> None:
    cursor = at(text)
    assert read_hold(cursor, cursor, CREDITS, CHAT, Price.of({})) == hold


def test_terms_replace_those_of_the_reader_one_by_one() -> None:
    cursor = at("{output_tokens: 5}")
    terms = read_hold(cursor, cursor, CREDITS, CHAT, Price.of({}))
    assert isinstance(terms, dict)
    assert {meter: term.text for meter, term in terms.items()} == {
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "5",
    }


def test_a_flat_price_holds_itself() -> None:
    cursor = at("x")
    assert read_hold(None, cursor, CREDITS, Meters(), Price.of({}, 7)) == {}
    assert not cursor.problems
