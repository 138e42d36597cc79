"""Charges of the past priced again: exactly the same under the same rule, or a reason."""

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.domain.match import Match, PathPattern
from sidecar.domain.metering import Charge, End, Meters, OnUnknown, Source
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.price_dimensions import of_body, of_customer, of_header
from sidecar.domain.price_list import AnswerPrices, AnyPrice, Choices, PriceList, PriceVersions, RequestPrice, Version
from sidecar.domain.price_schedule import Schedule, Tier, price_of
from sidecar.domain.quotes import Quote, Quoter
from sidecar.domain.repricing import Past, Unpriceable, Why, reprice
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.rules import FREE, Rule
from sidecar.domain.running_counters import RunningCounters
from sidecar.domain.usage_words import recorded

REGION = of_header("X-Region")
RATES = st.fractions(0, 5, max_denominator=1_000_000)
METERS = ("input_tokens", "cached_input_tokens", "output_tokens")


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """Rates, a schedule for output, a flat part, a markup and a least charge."""
    rates = {meter: draw(RATES) for meter in METERS[:2]}
    tiers = (Tier(draw(st.integers(1, 50)), draw(RATES)), Tier(None, draw(RATES), draw(st.integers(0, 9))))
    schedule = Schedule(
        meters=("output_tokens",), tiers=tiers, volume=draw(st.booleans()), free=draw(st.integers(0, 9))
    )
    return price_of(
        rates,
        draw(st.integers(0, 9)),
        schedules=[schedule],
        markup=draw(st.fractions(0, 1, max_denominator=100)),
        least=draw(st.integers(0, 30)),
    )


@st.composite
def lists(draw: st.DrawFn) -> AnyPrice:
    """By region, then by model, then by the answer's cache and status, then by time."""
    by_status = AnswerPrices(None, Choices.of({"2*": draw(prices()), "*": draw(prices())}))
    by_cache = AnswerPrices(b"x-cache", Choices.of({"HIT": draw(prices()), "*": by_status}))
    models: dict[str, RequestPrice | None] = {"mini": draw(prices()), "gpt-*": by_cache, "*": draw(prices())}
    regions: dict[str, RequestPrice | None] = {"eu": PriceList(of_body("model"), Choices.of(models)), "*": by_cache}
    all_of_them: list[RequestPrice] = [PriceList(REGION, Choices.of(regions)), by_cache, draw(prices())]
    price = draw(st.sampled_from(all_of_them))
    return PriceVersions([Version(0, 100, price), Version(100, 200, draw(prices()))], lambda: 50)


def rule(price: AnyPrice, **more: Any) -> Rule:
    quoter = Quoter(**{"meters": Meters(reader=READERS["openai.chat"]), "price": price, "hold": 10_000, **more})
    match = Match(path=PathPattern.parse("/"))
    return Rule(name="r", where="r.yaml:1", match=match, unit="credits", quoter=quoter)


def past(charge: Charge, **more: Any) -> Past:
    said = recorded(charge.usage)
    fields = {
        "rule": "r",
        "unit": "credits",
        "customer_id": "cus_a",
        "payer_id": "cus_a",
        "at_s": 50.0,
        "cost": charge.amount,
    }
    return Past(**{**fields, "source": charge.source, "said": said, **more})


def charged(of: Rule, request: dict[str, Any], fields: dict[bytes, bytes], answer: bytes, answered: Any) -> Charge:
    body = json.dumps(request).encode()
    quote = of.quote(RequestFacts(fields, b"/", b"", body, len(body)))
    assert isinstance(quote, Quote)
    meter = quote.meter(*answered)
    meter.feed(answer)
    return meter.finish(End.COMPLETE, len(body), len(answer), 7)


@settings(deadline=None)
@given(
    lists(),
    st.sampled_from([{"model": "mini"}, {"model": "gpt-4 o"}, {"model": 'x"\u00e9'}, {}]),
    st.sampled_from([{}, {b"x-region": b"eu"}, {b"x-region": b"us"}]),
    st.tuples(*[st.integers(0, 10_000)] * 3),
    st.tuples(st.sampled_from([200, 201]), st.sampled_from([{}, {b"x-cache": b"HIT"}, {b"x-cache": b"MISS"}])),
    st.sampled_from(OnUnknown),
)
def test_the_same_rule_comes_to_the_same_charge(
    price: AnyPrice,
    request: dict[str, Any],
    fields: dict[bytes, bytes],
    tokens: tuple[int, int, int],
    answered: tuple[int, dict[bytes, bytes]],
    on_unknown: OnUnknown,
) -> None:
    fresh, cached, output = tokens
    usage = {
        "prompt_tokens": fresh + cached,
        "completion_tokens": output,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    of = rule(price, max_charge=20_000, on_unknown=on_unknown)
    charge = charged(of, request, fields, json.dumps({"usage": usage}).encode(), answered)
    assert charge.source == Source.REPORTED
    assert reprice(of, past(charge), 50, RunningCounters()) == charge.amount
    observed = charged(of, request, fields, b"{}", answered)
    again = reprice(of, past(observed), 50, RunningCounters())
    if observed.source == Source.HOLD:
        assert again == Unpriceable(Why.CHARGED_BY_HOLD)
    elif observed.source == Source.OBSERVED:
        assert again == observed.amount


ONE, TWO = Price.of({"input_tokens": Fraction(1)}), Price.of({"input_tokens": Fraction(2)})
REPORTED = Charge(3, 'input_tokens=3 request.model="mini" header.x-region=-', Source.REPORTED, release=False)


def by_model(**models: Price | None) -> PriceList:
    return PriceList(of_body("model"), Choices.of(models))


@pytest.mark.parametrize(
    ("price", "found"),
    [
        (ONE, 3),
        (TWO, 6),
        (by_model(mini=TWO), 6),
        (by_model(large=TWO), Unpriceable(Why.UNPRICED, "for request.model 'mini'")),
        (by_model(mini=None), Unpriceable(Why.UNPRICED, "for request.model 'mini'")),
        (PriceList(REGION, Choices.of({"*": TWO})), 6),
        (
            PriceList(REGION, Choices.of({"eu": TWO})),
            Unpriceable(Why.UNPRICED, "without header.x-region"),
        ),
        (PriceList(of_body("size"), Choices.of({"*": TWO})), Unpriceable(Why.NOT_RECORDED, "request.size")),
        (AnswerPrices(None, Choices.of({"*": TWO})), Unpriceable(Why.NOT_RECORDED, "response.status")),
        (PriceVersions([Version(0, 50, ONE), Version(50, 60, TWO)], lambda: 0), 6),
        (PriceVersions([Version(60, 70, ONE)], lambda: 65), Unpriceable(Why.UNPRICED, "at its time")),
    ],
)
def test_under_another_price(price: AnyPrice, found: int | Unpriceable) -> None:
    assert reprice(rule(price), past(REPORTED), 50, RunningCounters()) == found


def test_the_most_that_a_request_costs_holds_for_the_past_too() -> None:
    assert reprice(rule(TWO, max_charge=4), past(REPORTED), 50, RunningCounters()) == 4


def test_a_rule_that_is_free_now_costs_nothing() -> None:
    free = Rule(name="r", where="", match=Match(path=PathPattern.parse("/")), free=True, unit="credits", quoter=FREE)
    assert reprice(free, past(REPORTED), 50, RunningCounters()) == 0
    assert reprice(free, past(REPORTED, unit="tokens"), 50, RunningCounters()) == Unpriceable(
        Why.OTHER_UNIT, "credits"
    )


def test_what_the_hold_decided_is_not_guessed() -> None:
    by_hold = Charge(9, 'input_tokens=3 request.model="mini"', Source.HOLD, release=False)
    assert reprice(rule(ONE), past(by_hold), 50, RunningCounters()) == Unpriceable(Why.CHARGED_BY_HOLD)


def test_what_was_charged_before_is_not_priced_again() -> None:
    repeated = Charge(0, 'input_tokens=3 request.model="mini"', Source.REPEATED, release=False)
    assert reprice(rule(ONE), past(repeated), 50, RunningCounters()) == Unpriceable(Why.CHARGED_BEFORE)


@pytest.mark.parametrize(
    ("customer_id", "external_id", "found"),
    [("cus_a", "acme", 6), ("cus_a", "other", 3), ("cus_a", "", 3), ("cus_a", "no-one", None)],
)
def test_who_asked_is_known_without_a_record(customer_id: str, external_id: str, found: int | None) -> None:
    by_customer = PriceList(of_customer(["acme"]), Choices.of({"acme": TWO, "no-*": None, "*": by_model(mini=ONE)}))
    settlement = past(REPORTED, customer_id=customer_id, external_id=external_id)
    wanted = Unpriceable(Why.UNPRICED, f"for customer '{external_id}'") if found is None else found
    assert reprice(rule(by_customer), settlement, 50, RunningCounters()) == wanted
