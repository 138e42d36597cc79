"""What a charge of the past would cost under a rule, by what the ledger says of it: the request is not needed.

Exact or nothing: where the ledger does not say what the price depends on, the answer is why, never a guess. A charge
under the rule that made it comes to the same amount again.
"""

from enum import StrEnum
from typing import final

import msgspec

from sidecar.domain.metering import Source
from sidecar.domain.price import Price
from sidecar.domain.price_dimensions import CUSTOMER, Dimension
from sidecar.domain.price_list import AnswerPrices, PriceList, PriceVersions, RequestPrice
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.rules import Rule
from sidecar.domain.running_counters import RunningCounters
from sidecar.domain.usage_words import Recorded


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One settlement of the past. `cost` is what it came to, what was not collected included, in base units."""

    rule: str
    unit: str
    customer_id: str
    """Who asked."""
    payer_id: str
    """Whose counters it moved: the customer, or its parent."""
    external_id: str = ""
    """The operator's own id of it, where a price goes by that."""
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
    CHARGED_BEFORE = "charged_before"
    NOT_RECORDED = "not_recorded"
    UNPRICED = "unpriced"


@final
class Unpriceable(msgspec.Struct, frozen=True):
    """`what` names it: the dimension that was not recorded, or the value that has no price."""

    why: Why
    what: str = ""


def reprice(rule: Rule, past: Past, at_s: float, counters: RunningCounters) -> int | Unpriceable:
    """The cost in base units under the prices that are in force at `at_s`, or why there is none.

    Reasons are looked for in the order of `Why`. What its price counts over a period moves `counters`.
    """
    if rule.unit != past.unit:
        return Unpriceable(Why.OTHER_UNIT, rule.unit)
    if rule.free:
        return 0
    if past.source == Source.HOLD:
        return Unpriceable(Why.CHARGED_BY_HOLD)
    if past.source == Source.REPEATED:
        return Unpriceable(Why.CHARGED_BEFORE)
    versions = rule.quoter.price
    now = versions.at(at_s) if isinstance(versions, PriceVersions) else versions
    price = Unpriceable(Why.UNPRICED, "at its time") if now is None else _chosen(now, past)
    if isinstance(price, Unpriceable):
        return price
    most = rule.quoter.tariff.max_charge
    return counters.charge(past.payer_id, price, past.said.usage, most, past.at_s)


def _chosen(price: RequestPrice, past: Past) -> Price | Unpriceable:
    """The price that is chosen by what was recorded, one dimension after the other."""
    chosen_by = past.said.chosen_by
    while isinstance(price, PriceList):
        by = price.by
        if by.key != CUSTOMER and by.key not in chosen_by:
            return Unpriceable(Why.NOT_RECORDED, by.key)
        value = _customer(by, past) if by.key == CUSTOMER else chosen_by[by.key]
        found = price.choices.other if value is None else price.find(value)
        if found is None:
            said = f"without {by.key}" if value is None else f"for {by.key} {value!a}"
            return Unpriceable(Why.UNPRICED, said)
        price = found
    while isinstance(price, AnswerPrices):
        if price.key not in chosen_by:
            return Unpriceable(Why.NOT_RECORDED, price.key)
        price = price.find(chosen_by[price.key])
    return price


def _customer(by: Dimension, past: Past) -> str:
    """Who asked is known without a record of it."""
    fields: dict[bytes, bytes] = {}
    value = by.read(None, RequestFacts(fields, b"", b"", None, 0, past.customer_id, past.external_id))
    assert isinstance(value, str), "somebody asked"
    return value
