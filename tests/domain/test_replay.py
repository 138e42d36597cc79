"""The usage of the past under another rule set, added up."""

from fractions import Fraction
from typing import Any

import pytest

from sidecar.domain import replay as replaying
from sidecar.domain.match import Match, PathPattern
from sidecar.domain.metering import Meters, Source
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.price_dimensions import of_body
from sidecar.domain.price_list import AnyPrice, Choices, PriceList, PriceVersions, Version
from sidecar.domain.quotes import Quoter
from sidecar.domain.replay import Change, Left, Note, Replay
from sidecar.domain.repricing import Past, Why
from sidecar.domain.rules import Rule, RuleSet
from sidecar.domain.usage_words import recorded


def price(rate: int) -> Price:
    return Price.of({meter: Fraction(rate) for meter in READERS["openai.chat"].meters})


MODELS = PriceList(of_body("model"), Choices.of({"mini": price(1), "large": price(3)}))


def rule(name: str, of: AnyPrice, unit: str = "credits") -> Rule:
    quoter = Quoter(meters=Meters(reader=READERS["openai.chat"]), price=of, hold=1)
    return Rule(name=name, where="", match=Match(path=PathPattern.parse(f"/{name}")), unit=unit, quoter=quoter)


def past(usage: str = "input_tokens=10 output_tokens=1", cost: int = 11, **more: Any) -> Past:
    fields = {"rule": "chat", "unit": "credits", "customer_id": "cus_a", "at_s": 50.0, "source": Source.REPORTED}
    fields["payer_id"] = more.get("customer_id", "cus_a")
    return Past(**{**fields, "cost": cost, "said": recorded(usage), **more})


def replayed(*settlements: Past, rules: tuple[Rule, ...], **more: Any) -> Replay:
    replay = Replay(RuleSet(rules), **{"renamed": {}, **more})
    for settlement in settlements:
        replay.add(settlement)
    return replay


def test_sums_by_rule_and_customer_with_the_largest_difference_first() -> None:
    replay = replayed(
        past(),
        past(customer_id="cus_b", rule="other", cost=22),
        past(customer_id="cus_b", rule="other", cost=20, source=Source.OBSERVED),
        past(unit="tokens", rule="counted"),
        rules=(rule("chat", price(3)), rule("other", price(1)), rule("counted", price(1), "tokens")),
    )
    assert replay.totals == [
        Change(name="", unit="credits", settlements=3, old=53, new=55),
        Change(name="", unit="tokens", settlements=1, old=11, new=11),
    ]
    assert [(each.name, each.difference) for each in replay.rules] == [("chat", 22), ("other", -20), ("counted", 0)]
    assert [(each.name, each.unit, each.difference) for each in replay.customers] == [
        ("cus_a", "credits", 22),
        ("cus_b", "credits", -20),
        ("cus_a", "tokens", 0),
    ]
    assert (replay.left, replay.notes, replay.estimated) == ([], [], 1)


def test_what_cannot_be_priced_is_in_no_sum_but_counted_by_its_reason() -> None:
    replay = replayed(
        past('input_tokens=10 output_tokens=1 request.model="huge"', cost=5),
        past('input_tokens=10 output_tokens=1 request.model="huge"', cost=7),
        past(cost=3),
        past(cost=2, source=Source.HOLD),
        past(cost=100, rule="gone"),
        rules=(rule("chat", MODELS),),
    )
    assert replay.left == [
        Left(why=Why.RULE_GONE, rule="gone", what="", unit="credits", settlements=1, cost=100),
        Left(why=Why.UNPRICED, rule="chat", what="for request.model 'huge'", unit="credits", settlements=2, cost=12),
        Left(why=Why.NOT_RECORDED, rule="chat", what="request.model", unit="credits", settlements=1, cost=3),
        Left(why=Why.CHARGED_BY_HOLD, rule="chat", what="", unit="credits", settlements=1, cost=2),
    ]
    assert (replay.totals, replay.rules, replay.customers) == ([], [], [])


def test_reasons_without_end_are_counted_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "_WHATS_MAX", 1)
    replay = replayed(past(rule="a"), past(rule="b"), past(rule="c"), past(rule="a"), rules=())
    assert [(left.rule, left.settlements) for left in replay.left] == [("", 2), ("a", 2)]


def test_a_rule_that_was_renamed() -> None:
    replay = replayed(past(), rules=(rule("talk", price(2)),), renamed={"chat": "talk"})
    assert [(each.name, each.new) for each in replay.rules] == [("talk", 22)]


def test_the_price_of_its_time_or_of_one_time_for_all() -> None:
    versions = PriceVersions([Version(0, 100, price(1)), Version(100, 200, price(2))], lambda: 0)
    settlements = (past(), past(at_s=150.0))
    assert replayed(*settlements, rules=(rule("chat", versions),)).totals[0].new == 11 + 22
    assert replayed(*settlements, rules=(rule("chat", versions),), at_s=150.0).totals[0].new == 22 + 22


def test_meters_that_count_as_nothing_are_named() -> None:
    replay = replayed(past("input_tokens=1 pages=4"), rules=(rule("chat", price(1)),))
    assert replay.notes == [Note("never_read", "chat", "output_tokens"), Note("not_measured", "chat", "pages")]
