"""What a charge of the past would cost under a rule, by what the ledger says of it: the request is not needed.

Exact or nothing: where the ledger does not say what the price depends on, the answer is why, never a guess. A charge
under the rule that made it comes to the same amount again.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import final

import msgspec

from sidecar.domain.metering import Source
from sidecar.domain.price import Price
from sidecar.domain.price_list import AnswerPrices, AnyPrice, PriceList, PriceVersions
from sidecar.domain.rules import Rule
from sidecar.domain.usage_words import Recorded


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One settlement of the past. `cost` is what it came to, what was not collected included, in base units."""

    rule: str
    unit: str
    customer_id: str
    """Who asked."""
    at_s: float
    """When its hold was taken, and so its price chosen: seconds since 1970."""
    cost: int
    source: str
    said: Recorded


class Why(StrEnum):
    """Why a charge cannot be priced again."""

    RULE_GONE = "rule_gone"
    OTHER_UNIT = "other_unit"
    CHARGED_BY_HOLD = "charged_by_hold"
    NOT_RECORDED = "not_recorded"
    UNPRICED = "unpriced"


@final
class Unpriceable(msgspec.Struct, frozen=True):
    """`what` names it: the dimension that was not recorded, or the value that has no price."""

    why: Why
    what: str = ""


def reprice(rule: Rule, past: Past, at_s: float) -> int | Unpriceable:
    """The cost in base units under the prices that are in force at `at_s`, or why there is none.

    Reasons are looked for in the order of `Why`.
    """
    if rule.unit != past.unit:
        return Unpriceable(Why.OTHER_UNIT, rule.unit)
    if rule.free:
        return 0
    if past.source == Source.HOLD:
        return Unpriceable(Why.CHARGED_BY_HOLD)
    price = _price(rule.quoter.price, past.said.chosen_by, at_s)
    if isinstance(price, Unpriceable):
        return price
    return price.charge(past.said.usage, rule.quoter.tariff.max_charge)


def _price(price: AnyPrice | None, chosen_by: Mapping[str, str | None], at_s: float) -> Price | Unpriceable:
    """The price that was chosen by these values, one dimension after the other."""
    if isinstance(price, PriceVersions):
        price = price.at(at_s)
        if price is None:
            return Unpriceable(Why.UNPRICED, "at its time")
    while isinstance(price, PriceList | AnswerPrices):
        key = price.by.key if isinstance(price, PriceList) else price.key
        if key not in chosen_by:
            return Unpriceable(Why.NOT_RECORDED, key)
        value = chosen_by[key]
        if isinstance(price, AnswerPrices):
            price = price.find(value)
            continue
        price = price.choices.other if value is None else price.find(value)
        if price is None:
            return Unpriceable(Why.UNPRICED, f"without {key}" if value is None else f"for {key} {value!a}")
    assert price is not None, "a version has a price"
    return price
