"""Billable metrics and their metering rules: make them, list them, try what they come to."""

from sidecar.control.endpoint import Call, Given, Repeat, endpoint
from sidecar.control.metric_schema import (
    CreateMetric,
    CreateRule,
    LineView,
    MetricPage,
    MetricView,
    Preview,
    PreviewView,
    RuleOfMetric,
    RulesOfMetrics,
    RulesWanted,
    counted,
)
from sidecar.control.schema import Nothing, Pagination, epoch_ms
from sidecar.domain.costs import UNITS, Cost
from sidecar.domain.counters import Stand
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering_rules import checked_terms, counting_of, counts, price_of_terms
from sidecar.domain.scopes import Scope

_TRIED = "tried"
"""The metric of a rule that is only tried."""


async def create_metric(call: Call[CreateMetric, Nothing]) -> Given[MetricView]:
    """Make a billable metric: something that your own programs count. Without a rule it cannot be charged."""
    asked = call.body
    return Given(MetricView.of(await call.parts.pricing.add_metric(asked.key, asked.name, asked.description)), 201)


async def list_metrics(call: Call[Nothing, Nothing]) -> Given[MetricPage]:
    """List the billable metrics, by their keys."""
    views = [MetricView.of(metric) for metric in call.parts.pricing.metrics()]
    return Given(MetricPage(data=views, pagination=Pagination.of(None)))


async def show_metric(call: Call[Nothing, Nothing]) -> Given[MetricView]:
    """Look at a billable metric."""
    return Given(MetricView.of(call.parts.pricing.metric(call.path["metric_key"])))


async def create_metering_rule(call: Call[CreateRule, Nothing]) -> Given[RuleOfMetric]:
    """Say what a metric costs from now on, or from a later instant on.

    It takes the place of the rule before it. Reservations that are open are charged by the rule that they were made
    by.
    """
    asked, pricing = call.body, call.parts.pricing
    call.parts.unit(asked.unit)
    at_ms = None if asked.effective_at is None else epoch_ms(asked.effective_at, "effective_at")
    rule = await pricing.add_rule(asked.billable_metric_key, asked.terms(), at_ms)
    return Given(RuleOfMetric.showing(rule, active=pricing.is_active(rule)), 201)


async def list_metering_rules(call: Call[Nothing, RulesWanted]) -> Given[RulesOfMetrics]:
    """List the metering rules of all metrics or of one, in the order in which they come into force."""
    pricing, wanted = call.parts.pricing, call.query.billable_metric_key
    rules = pricing.rules(wanted if isinstance(wanted, str) else None)
    views = [RuleOfMetric.showing(rule, active=pricing.is_active(rule)) for rule in rules]
    return Given(RulesOfMetrics(data=views, pagination=Pagination.of(None)))


async def preview_metering_rule(call: Call[Preview, Nothing]) -> Given[PreviewView]:
    """Try what units come to, line by line, by a rule that need not be there yet, or by that of a metric."""
    asked, units = call.body, counted(call.body.units, "units")
    if bool(asked.rule) == bool(asked.billable_metric_key):
        raise InvalidInput("Give a `rule` to try, or a `billable_metric_key` that has one: one of both.", "rule")
    if asked.rule:
        terms = checked_terms(asked.rule.terms())
        counting = counting_of(_TRIED)
        counters = {counting.name: counting.at(call.parts.now_ms() / 1000)} if counts(terms) else {}
        price = price_of_terms(terms, _TRIED)
        cost = Cost(unit=call.parts.unit(terms.unit).name, price=price, units=units, counts=counters)
    else:
        cost = call.parts.pricing.quote(str(asked.billable_metric_key), units)
    cost = cost.placed({counter.key: Stand(asked.position) for counter in cost.counts.values()})
    assert cost.price is not None, "units have a price"
    view = PreviewView(
        cost=cost.exactly,
        held_at_most=cost.at_most,
        unit=cost.unit,
        lines=[LineView.of(line) for line in cost.price.lines({UNITS: units})],
        notes=list(cost.price.notes),
    )
    return Given(view)


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/billable-metrics",
        create_metric,
        {201: "The metric was made."},
        Repeat.RECORDED,
        scope=Scope.CATALOGUE_WRITE,
    ),
    endpoint("GET", "/v1/billable-metrics", list_metrics, {200: "The metrics."}, scope=Scope.CATALOGUE_READ),
    endpoint(
        "GET", "/v1/billable-metrics/{metric_key}", show_metric, {200: "The metric."}, scope=Scope.CATALOGUE_READ
    ),
    endpoint(
        "POST",
        "/v1/metering-rules",
        create_metering_rule,
        {201: "The rule was made."},
        Repeat.RECORDED,
        scope=Scope.CATALOGUE_WRITE,
    ),
    endpoint("GET", "/v1/metering-rules", list_metering_rules, {200: "The rules."}, scope=Scope.CATALOGUE_READ),
    endpoint(
        "POST",
        "/v1/metering-rules/preview",
        preview_metering_rule,
        {200: "What it comes to."},
        Repeat.BY_ITSELF,
        scope=Scope.CATALOGUE_READ,
    ),
)
