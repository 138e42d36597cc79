"""What units of a metric cost: the metrics and rules that the operator wrote over the API, ready to be asked.

Answers come from memory: the catalogue tells it of changes, here and in other processes. Rules of files are others';
they price what goes through the proxy.
"""

import secrets
from bisect import bisect_right
from collections.abc import Callable, Mapping

import msgspec

from sidecar.domain.costs import Cost
from sidecar.domain.counters import Counter
from sidecar.domain.errors import Conflict, InvalidInput, NoActiveRule, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.metering_rules import (
    RULE_ID,
    MeteringRule,
    Metric,
    RuleTerms,
    checked_metric_key,
    checked_terms,
    cost_by,
    counting_of,
    counts,
    price_of_terms,
)
from sidecar.domain.price import Number, Price
from sidecar.services.catalogue import Catalogue

METRIC, RULE = "billable_metric", "metering_rule"
"""Their kinds in the catalogue."""


class _Priced(msgspec.Struct, frozen=True):
    rule: MeteringRule
    price: Price


class Pricing:
    """The metrics of one tenant's environment."""

    def __init__(self, catalogue: Catalogue, now_ms: Callable[[], int]) -> None:
        self._catalogue = catalogue
        self._now_ms = now_ms
        self._by_metric: dict[str, list[_Priced]] = {}
        """In the order in which they come into force."""
        self._by_id: dict[str, _Priced] = {}
        self._load()
        catalogue.follow(self._load)

    def quote(self, metric_key: str, units: Number, at_ms: int | None = None) -> Cost:
        """What `units` cost by the rule in force, now or at some time.

        `Cost.placed` moves it to where counters stand. NotFound: there is no such metric; NoActiveRule: it has no
        price then.
        """
        at_ms = self._now_ms() if at_ms is None else at_ms
        priced = self._in_force(metric_key, at_ms)
        if priced is None:
            self.metric(metric_key)
            raise NoActiveRule(
                f"The metric {metric_key!r} has no rule in force: POST /v1/metering-rules says what it costs."
            )
        counters: dict[str, Counter] = {}
        if counts(priced.rule):
            counting = counting_of(metric_key)
            counters[counting.name] = counting.at(at_ms / 1000)
        return cost_by(priced.rule, priced.price, units, counters)

    def again(self, rule_id: str, units: Number, counters: Mapping[str, Counter]) -> Cost:
        """What `units` cost by the rule that a reservation was made by, with its counters. NotFound."""
        priced = self._by_id.get(rule_id)
        if priced is None:
            raise NotFound(f"There is no metering rule {rule_id!r}.")
        return cost_by(priced.rule, priced.price, units, counters)

    def metric(self, key: str) -> Metric:
        """Raises NotFound."""
        document = self._catalogue.get(METRIC, key)
        if document is None:
            raise NotFound(f"There is no billable metric {key!r}; POST /v1/billable-metrics makes one.")
        return msgspec.json.decode(document.body, type=Metric)

    def metrics(self) -> list[Metric]:
        """All of them, by their keys."""
        return [msgspec.json.decode(document.body, type=Metric) for document in self._catalogue.all(METRIC)]

    def rules(self, metric_key: str | None = None) -> list[MeteringRule]:
        """Those of a metric or of all, by metric and by when they come into force."""
        keys = sorted(self._by_metric) if metric_key is None else [metric_key]
        return [priced.rule for key in keys for priced in self._by_metric.get(key, [])]

    def is_active(self, rule: MeteringRule) -> bool:
        """Whether it is the one in force now."""
        priced = self._in_force(rule.billable_metric_key, self._now_ms())
        return priced is not None and priced.rule.rule_id == rule.rule_id

    async def add_metric(self, key: str, name: str, description: str) -> Metric:
        """Make a metric. InvalidInput, Conflict when there is one of this key, ArchiveUnavailable."""
        metric = Metric(
            key=checked_metric_key(key), name=name or key, description=description, created_at_ms=self._now_ms()
        )
        await self._catalogue.put(METRIC, key, metric, expected=0)
        return metric

    async def add_rule(self, metric_key: str, terms: RuleTerms, effective_at_ms: int | None) -> MeteringRule:
        """Let a metric cost this from an instant on; from now on, unless one is given.

        NotFound for the metric; InvalidInput, also for an instant that is over; Conflict when another rule comes into
        force at the same instant; ArchiveUnavailable.
        """
        now_ms = self._now_ms()
        at_ms = now_ms if effective_at_ms is None else effective_at_ms
        if at_ms < now_ms:
            raise InvalidInput("A rule comes into force now or later: what is over has its price.", "effective_at")
        self.metric(metric_key)
        checked_terms(terms)
        before = self._in_force(metric_key, at_ms)
        rule = MeteringRule(
            **msgspec.structs.asdict(terms),
            rule_id=new_id(RULE_ID, now_ms, secrets.token_bytes(10)),
            billable_metric_key=metric_key,
            effective_at_ms=at_ms,
            created_at_ms=now_ms,
            supersedes=None if before is None else before.rule.rule_id,
        )
        try:
            await self._catalogue.put(RULE, f"{metric_key}@{at_ms:015d}", rule, expected=0)
        except Conflict as error:
            raise Conflict(f"Another rule of {metric_key!r} comes into force at the same instant.") from error
        return rule

    def _in_force(self, metric_key: str, at_ms: int) -> _Priced | None:
        rules = self._by_metric.get(metric_key, [])
        index = bisect_right(rules, at_ms, key=lambda each: each.rule.effective_at_ms)
        return rules[index - 1] if index else None

    def _load(self) -> None:
        """Take over what the catalogue has; rules that are known stay as they are."""
        by_metric: dict[str, list[_Priced]] = {}
        for document in self._catalogue.all(RULE):
            rule = msgspec.json.decode(document.body, type=MeteringRule)
            known = self._by_id.get(rule.rule_id)
            priced = known or _Priced(rule, price_of_terms(rule, rule.billable_metric_key))
            by_metric.setdefault(rule.billable_metric_key, []).append(priced)
        for rules in by_metric.values():
            rules.sort(key=lambda each: each.rule.effective_at_ms)
        self._by_metric = by_metric
        self._by_id = {each.rule.rule_id: each for rules in by_metric.values() for each in rules}
