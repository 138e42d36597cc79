import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.domain import request_meters
from sidecar.domain.amounts import CREDITS
from sidecar.domain.hold_terms import Term
from sidecar.domain.metering import End, Meters, OnUnknown, Source
from sidecar.domain.meters.named import READERS
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price import Price, parse_rate
from sidecar.domain.price_dimensions import of_body, of_customer, of_header
from sidecar.domain.price_list import AnswerPrices, AnyPrice, Choices, PriceList, PriceVersions, RequestPrice, Version
from sidecar.domain.price_schedule import Schedule, Tier, price_of
from sidecar.domain.quotes import Quote, Quoter, Unquoted
from sidecar.domain.request_facts import RequestFacts

NO_FIELDS: dict[bytes, bytes] = {}
EU: dict[bytes, bytes] = {b"x-region": b"eu"}


def rate(text: str) -> Price:
    return Price.of({meter: parse_rate(text, CREDITS) for meter in READERS["openai.chat"].meters})


MINI, LARGE, OTHER = rate("0.000001"), rate("0.000002"), rate("0.000003")


def by(name: str, prices: dict[str, RequestPrice | None]) -> PriceList:
    return PriceList(of_body(name), Choices.of(prices))


MODELS = by("model", {"mini": MINI, "gpt-*": LARGE, "gpt-x*": OTHER, "no-*": None, "*": None})
HOLD = {
    "input_tokens": Term.parse("request.body_bytes / 3"),
    "output_tokens": Term.parse("request.max_tokens or 1024"),
}
CHAT = Meters(reader=READERS["openai.chat"])


def chat(price: AnyPrice = MODELS, **kwargs: Any) -> Quoter:
    return Quoter(**{"meters": CHAT, "price": price, "hold": HOLD} | kwargs)


def facts(body: bytes | dict[str, Any] | None, size: int = 30) -> RequestFacts:
    text = json.dumps(body).encode() if isinstance(body, dict) else body
    return RequestFacts(NO_FIELDS, b"/", b"", text, size)


def quoted(quoter: Quoter, body: bytes | dict[str, Any] | None) -> Quote:
    quote = quoter.quote(facts(body))
    assert isinstance(quote, Quote)
    return quote


def refused(quoter: Quoter, body: bytes | dict[str, Any] | None) -> tuple[RefusalCode, str]:
    quote = quoter.quote(facts(body))
    assert isinstance(quote, Unquoted)
    return quote.code, quote.detail


@pytest.mark.parametrize(
    ("body", "hold"),
    [
        ({"model": "mini", "max_tokens": 100}, 10 + 100),
        ({"model": "mini"}, 10 + 1024),
        ({"model": "gpt-4", "max_tokens": 100}, 220),
        ({"model": "mini", "max_tokens": "100"}, 10 + 1024),
        ({"model": "mini", "max_tokens": -5}, 10 + 1024),
        ({"model": "mini", "max_tokens": None}, 10 + 1024),
        ({"model": "mini", "max_tokens": 2**80}, 2**53 - 1),
    ],
)
def test_the_hold_is_what_the_request_may_use_at_its_price(body: dict[str, Any], hold: int) -> None:
    assert quoted(chat(), body).hold == hold


def test_the_hold_is_capped() -> None:
    assert quoted(chat(max_charge=50), {"model": "mini"}).hold == 50
    assert quoted(chat(hold=80, max_charge=50), {"model": "mini"}).hold == 50
    assert quoted(chat(hold=20, max_charge=50), {"model": "mini"}).hold == 20


@pytest.mark.parametrize(
    "body", [None, b"", b"{", b"[]", b'"x"', b"null", b"\x1f\x8b\x08", b"model=mini", b'{"model":"mini"} x']
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes | None) -> None:
    code, detail = refused(chat(), body)
    assert code is RefusalCode.UNREADABLE_REQUEST
    assert ("too large" in detail) is (body is None)


@pytest.mark.parametrize("body", [None, b"{", b"[]"])
def test_or_gets_the_default_hold_when_the_rule_says_so(body: bytes | None) -> None:
    quote = quoted(chat(by("model", {"*": MINI}), hold_when_unreadable=True), body)
    assert (quote.hold, quote.body, quote.plain_answer) == (10 + 1024, None, False)


def test_a_model_without_a_price_is_refused_by_name() -> None:
    assert refused(chat(), {"model": "x\n"}) == (RefusalCode.UNPRICED, "There is no price for model 'x\\n' here.")
    code, detail = refused(chat(), {"model": "y" * 1000})
    assert code is RefusalCode.UNPRICED
    assert len(detail) < 200


@pytest.mark.parametrize("body", [{}, {"model": None}, {"model": 5.5}, {"model": ["mini"]}])
def test_a_request_without_the_field_that_prices_it_is_refused(body: dict[str, Any]) -> None:
    assert refused(chat(), body)[0] is RefusalCode.UNREADABLE_REQUEST
    assert quoted(chat(by("model", {"*": OTHER})), body).price is OTHER


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"mini","model":"gpt-4"}',
        b'{"model":"mini","MODEL":"gpt-4"}',
        b'{"mod\\u0065l":"gpt-4","model":"mini"}',
    ],
)
def test_a_field_that_stands_there_twice_has_no_value(body: bytes) -> None:
    assert refused(chat(), body) == (
        RefusalCode.UNREADABLE_REQUEST,
        "The request has `model` more than once; send it once.",
    )


def test_fields_inside_objects() -> None:
    quoter = chat(by("options.tier", {"gold": MINI}), hold={"input_tokens": Term.parse("request.a.b.c or 7")})
    assert quoted(quoter, {"options": {"tier": "gold"}, "a": {"b": {"c": 3}}}).hold == 3
    odd: dict[str, Any]
    for odd in ({"a": {"b": 5}}, {"a": 5}, {"a": []}, {"a": {}}):
        assert quoted(quoter, {"options": {"tier": "gold"}, **odd}).hold == 7
    assert refused(quoter, {"options": "gold"})[0] is RefusalCode.UNREADABLE_REQUEST


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
def test_a_stream_is_asked_for_its_usage(options: Any) -> None:
    body = {"model": "mini", "stream": True} | ({"stream_options": options} if options is not None else {})
    quote = quoted(chat(), body)
    assert quote.body is not None
    assert json.loads(quote.body) == body | {"stream_options": {"include_usage": True}}
    assert (quote.plain_answer, quote.readable_codings) == (True, True)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"stream": False},
        {"stream": "true"},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": 5},
    ],
)
def test_other_requests_stay_as_they_are(more: dict[str, Any]) -> None:
    quote = quoted(chat(), {"model": "mini", **more})
    assert (quote.body, quote.plain_answer, quote.readable_codings) == (None, False, True)


def test_a_price_by_two_things_asks_one_after_the_other() -> None:
    regions = PriceList(of_header("X-Region"), Choices.of({"eu": LARGE}))
    quoter = chat(by("model", {"mini": regions, "*": MINI}))
    body = json.dumps({"model": "mini"}).encode()
    quotes = [quoter.quote(RequestFacts(fields, b"/", b"", body, 30)) for fields in (EU, NO_FIELDS)]
    assert isinstance(quotes[0], Quote)
    assert quotes[0].price is LARGE
    assert quotes[1] == Unquoted(
        RefusalCode.UNREADABLE_REQUEST, "The request needs `header X-Region`: its price depends on it."
    )
    assert refused(chat(regions), None)[0] is RefusalCode.UNREADABLE_REQUEST


def test_a_price_by_a_header_needs_no_body() -> None:
    quoter = Quoter(
        meters=Meters(), price=PriceList(of_header("X-Region"), Choices.of({"eu": Price.of({}, 7)})), hold={}
    )
    assert not quoter.reads_body
    quote = quoter.quote(RequestFacts(EU, b"/", b"", None, 0))
    assert isinstance(quote, Quote)
    assert quote.hold == 7


def test_the_price_in_force_when_it_is_quoted_settles_it() -> None:
    now_s = [5.0]
    price = PriceVersions([Version(0, 10, Price.of({}, 1)), Version(10, 20, Price.of({}, 2))], lambda: now_s[0])
    quoter = Quoter(meters=Meters(), price=price, hold={})
    quote = quoted(quoter, None)
    now_s[0] = 10
    assert quote.meter(200, NO_FIELDS).finish(End.COMPLETE, 0, 0, 0).amount == 1
    assert quoted(quoter, None).meter(200, NO_FIELDS).finish(End.COMPLETE, 0, 0, 0).amount == 2
    now_s[0] = 20
    assert refused(quoter, None) == (RefusalCode.UNPRICED, "There is no price in force at this time.")


@pytest.mark.parametrize(
    ("status", "fields", "amount"),
    [(200, {b"x-cache": b"HIT"}, 1), (200, {}, 5), (404, {}, 5), (500, {}, None), (304, {b"x-cache": b"HIT"}, None)],
)
def test_the_answer_may_choose_among_prices(status: int, fields: dict[bytes, bytes], amount: int | None) -> None:
    price = AnswerPrices(
        b"x-cache", Choices.of({"HIT": Price.of({}, 1), "BAD": Price.of({}, 9), "*": Price.of({}, 5)})
    )
    quote = quoted(Quoter(meters=Meters(), price=price, hold={}, charge_on=frozenset({200, 404})), None)
    assert quote.hold == sum(line.amount for line in quote.hold_lines({})) == 9
    charge = quote.meter(status, fields).finish(End.COMPLETE, 0, 0, 0)
    assert (None if charge.release else charge.amount) == amount


def test_a_hold_covers_volume_tiers_that_fall() -> None:
    falling = Schedule(meters=("output_tokens",), tiers=(Tier(10, 100), Tier(None, 1)), volume=True)
    quoter = chat(price_of({}, schedules=[falling]), hold={"output_tokens": Term.parse("request.max_tokens or 7")})
    assert quoted(quoter, {"max_tokens": 50}).hold == 1000
    assert quoted(quoter, {"max_tokens": 5000}).hold == 5000


def test_a_rule_that_reads_nothing_needs_no_body() -> None:
    quoter = Quoter(meters=Meters(headers=(("cost", b"x-cost"),)), price=MINI, hold=25)
    assert not quoter.reads_body
    quote = quoted(quoter, None)
    assert (quote.hold, quote.readable_codings) == (25, False)
    assert quoter.cost_headers == {b"x-cost"}


def test_a_size_that_nobody_knows_is_no_size_of_zero() -> None:
    quoter = chat(MINI, meters=Meters(), hold={"input_tokens": Term.parse("request.body_bytes / 3")})
    assert quoter.reads_body
    unknown = quoter.quote(RequestFacts(NO_FIELDS, b"/", b"", None, 0))
    assert isinstance(unknown, Unquoted)
    assert unknown.code is RefusalCode.UNREADABLE_REQUEST
    for body, size, hold in ((None, 300, 100), (b"", 0, 0), (b"not JSON", 8, 3)):
        quote = quoter.quote(RequestFacts(NO_FIELDS, b"/", b"", body, size))
        assert isinstance(quote, Quote)
        assert quote.hold == hold


def test_what_was_forwarded_and_never_answered_is_charged_by_the_rule() -> None:
    quote = quoted(chat(hold=20), {"model": "mini"})
    assert quote.without_answer(End.UPSTREAM_FAILED).release
    charge = quote.without_answer(End.CLIENT_GONE)
    assert (charge.amount, charge.source) == (20, Source.HOLD)
    assert quoted(chat(hold=20, on_unknown=OnUnknown.RELEASE), {"model": "mini"}).without_answer(End.CUT).release


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)
_NAMES = st.sampled_from(["model", "max_tokens", "stream", "stream_options", "x"])


@given(st.dictionaries(_NAMES, _ANY), st.integers(0, 10**12))
def test_no_request_gets_an_error_or_a_negative_hold(body: dict[str, Any], size: int) -> None:
    quote = chat().quote(facts(body | {"model": "mini"}, size))
    assert isinstance(quote, Quote) or quote.code is RefusalCode.UNREADABLE_REQUEST
    if isinstance(quote, Quote):
        assert 0 <= quote.hold <= 2**53 - 1


@given(st.binary(max_size=60))
def test_no_bytes_raise(body: bytes) -> None:
    assert chat().quote(facts(body)) is not None


IMAGES = Quoter(
    meters=Meters(requests=(("images", request_meters.of_body("n", default=1)),)),
    price=Price.of({"images": Fraction(40_000)}),
    hold={},
    on_unknown=OnUnknown.CHARGE_OBSERVED,
)


@pytest.mark.parametrize(("body", "cost"), [(b"{}", 40_000), (b'{"n": 3}', 120_000), (b'{"n": 0}', 0)])
def test_what_the_request_itself_tells_is_held_and_charged(body: bytes, cost: int) -> None:
    quote = quoted(IMAGES, body)
    assert quote.hold == cost
    assert IMAGES.estimate(facts(body)) == quote.given
    charge = quote.meter(200, NO_FIELDS).finish(End.COMPLETE, 1, 1, 1)
    assert (charge.amount, charge.source) == (cost, Source.REPORTED)
    assert quote.without_answer(End.CLIENT_GONE).amount == cost


@pytest.mark.parametrize("body", [b'{"n": -1}', b'{"n": 1, "n": 9}'])
def test_a_request_that_does_not_tell_clearly_is_refused(body: bytes) -> None:
    assert refused(IMAGES, body)[0] is RefusalCode.UNREADABLE_REQUEST
    assert IMAGES.estimate(facts(body)) == {}


def test_what_the_price_was_chosen_by_is_recorded() -> None:
    price = PriceList(of_header("X-Region"), Choices.of({"eu": MODELS, "*": MINI}))
    told = RequestFacts(EU, b"/", b"", b'{"model": "gpt-4", "max_tokens": 1}', 30)
    quote = chat(price).quote(told)
    assert isinstance(quote, Quote)
    assert quote.chosen_by == ' header.x-region="eu" request.model="gpt-4"'
    assert quote.known({"input_tokens": 3}).usage == 'input_tokens=3 header.x-region="eu" request.model="gpt-4"'
    assert quote.unknown({}).usage == 'header.x-region="eu" request.model="gpt-4"'


def test_what_the_answer_chose_by_is_recorded_too() -> None:
    price = by("model", {"*": AnswerPrices(b"x-cache", Choices.of({"HIT": MINI, "*": LARGE}))})
    hit: dict[bytes, bytes] = {b"x-cache": b"HIT"}
    meter = quoted(chat(price), {"size": 1}).meter(200, hit)
    meter.feed(b'{"usage": {"prompt_tokens": 3, "completion_tokens": 0}}')
    charge = meter.finish(End.COMPLETE, 0, 0, 0)
    assert charge.usage == 'input_tokens=3 request.model=- response.header.x-cache="HIT"'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": "mini"}, ' request.model="mini"'),
        ({"max_tokens": 1}, ""),
        ({"model": 7}, ""),
        ({"model": None}, ""),
    ],
)
def test_a_model_is_recorded_where_no_price_goes_by_it(body: dict[str, Any], words: str) -> None:
    assert quoted(chat(MINI), body).chosen_by == words


def test_a_body_is_not_read_to_record_a_model() -> None:
    quoter = Quoter(meters=Meters(reader=READERS["openai.embeddings"]), price=MINI, hold=5)
    assert not quoter.reads_body
    assert quoted(quoter, {"model": "mini"}).chosen_by == ""


def test_a_price_of_a_customers_own() -> None:
    prices: dict[str, RequestPrice | None] = {"acme": MINI, "big-*": LARGE, "no-*": None, "*": MODELS}
    quoter = chat(PriceList(of_customer(["acme"]), Choices.of(prices)))
    assert quoter.needs_external_id

    def of(external_id: str) -> Quote | Unquoted:
        body = b'{"model": "gpt-4"}'
        return quoter.quote(RequestFacts(NO_FIELDS, b"/", b"", body, len(body), "cus_a", external_id))

    for name, price in {"acme": MINI, "big-one": LARGE, "other": LARGE}.items():
        quote = of(name)
        assert isinstance(quote, Quote)
        assert quote.price is price
        assert quote.chosen_by == f' customer="{name}" request.model="gpt-4"'
    assert of("no-one") == Unquoted(RefusalCode.UNPRICED, "There is no price for this customer here.")
