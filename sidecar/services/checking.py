"""Entitlement checks: could a customer use so much of a feature now? Prices come from memory, the rest from one look.

A feature is a billable metric by its key; where there is none of that name, one of the rule files' features. What
those cost is known before the request only where every rule of the feature has the same fixed price: then a unit is
one request.
"""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from sidecar.domain.costs import UNITS, Cost
from sidecar.domain.entitlements import Asked, Entitlement, Look, judge
from sidecar.domain.errors import NotFound
from sidecar.domain.price import Number, Price
from sidecar.domain.rules import Rule, RuleSet
from sidecar.services.pricing import Pricing
from sidecar.services.reloading import Reloading
from sidecar.store.entitlements import Entitlements


class Wanted(msgspec.Struct, frozen=True):
    """So many units of a feature."""

    feature: str
    units: Number


class Checked(msgspec.Struct, frozen=True):
    """Who was looked at, and the answers in the order of the questions."""

    look: Look
    entitlements: tuple[Entitlement, ...]


class _Feature(msgspec.Struct, frozen=True, kw_only=True):
    """A feature of the rule files; `rule` is empty where it has several, `price` None where it is not fixed."""

    unit: str
    rule: str
    price: Price | None


class Checking:
    """Of one tenant's environment. Everything may raise StoreError."""

    def __init__(self, entitlements: Entitlements, pricing: Pricing, reloading: Reloading) -> None:
        self._entitlements = entitlements
        self._pricing = pricing
        self._reloading = reloading
        self._rules: RuleSet | None = None
        self._features: dict[str, _Feature] = {}

    async def check(self, customer_id: str, wanted: Sequence[Wanted]) -> Checked:
        """All of it as of one moment. NotFound: the customer, or a feature; NoActiveRule."""
        asked = [self._asked(each) for each in wanted]
        return _judged(asked, await self._entitlements.look(customer_id, [each.question for each in asked]))

    async def check_by_external_id(self, external_id: str, wanted: Sequence[Wanted]) -> Checked | None:
        """The same of the customer who has this external id; None: nobody has."""
        asked = [self._asked(each) for each in wanted]
        look = await self._entitlements.look_by_external_id(external_id, [each.question for each in asked])
        return None if look is None else _judged(asked, look)

    def _asked(self, wanted: Wanted) -> Asked:
        try:
            cost = self._pricing.quote(wanted.feature, wanted.units)
        except NotFound:
            return self._of_rules(wanted)
        return Asked(feature=wanted.feature, units=wanted.units, unit=cost.unit, rule=cost.rule, cost=cost)

    def _of_rules(self, wanted: Wanted) -> Asked:
        if self._rules is not self._reloading.rules:
            self._rules = self._reloading.rules
            self._features = _features_of(self._rules)
        feature = self._features.get(wanted.feature)
        if feature is None:
            raise NotFound(
                f"There is no billable metric and no rule with the feature {wanted.feature!r}; POST "
                "/v1/billable-metrics makes a metric."
            )
        cost = None
        if feature.price is not None:
            cost = Cost(
                unit=feature.unit,
                feature=wanted.feature,
                rule=feature.rule,
                price=feature.price,
                units=wanted.units,
            )
        return Asked(feature=wanted.feature, units=wanted.units, unit=feature.unit, rule=feature.rule, cost=cost)


def _judged(asked: Sequence[Asked], look: Look) -> Checked:
    answers = zip(asked, look.standings, strict=True)
    return Checked(look, tuple(judge(each, standing, active=look.active) for each, standing in answers))


def _features_of(rules: RuleSet) -> dict[str, _Feature]:
    by_name: dict[str, list[Rule]] = {}
    for rule in rules.rules:
        if rule.feature:
            by_name.setdefault(rule.feature, []).append(rule)
    return {name: _feature(of) for name, of in by_name.items()}


def _feature(rules: Sequence[Rule]) -> _Feature:
    """What all rules of a feature have in common; the unit is the first one's."""
    costs = {(rule.unit, _fixed(rule)) for rule in rules}
    ((_, amount),) = costs if len(costs) == 1 else ((rules[0].unit, None),)
    return _Feature(
        unit=rules[0].unit,
        rule=rules[0].name if len(rules) == 1 else "",
        price=None if amount is None else Price.of({UNITS: Fraction(amount)}),
    )


def _fixed(rule: Rule) -> int | None:
    """What each request costs, if it is always the same."""
    price = rule.quoter.price
    if type(price) is not Price or price.rates:
        return None
    return price.charge({}, rule.quoter.tariff.max_charge)
