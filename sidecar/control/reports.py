"""Reports: what a customer used, what was charged most, how much there is, what was refused."""

from collections import Counter

from sidecar.control.endpoint import BY_ID, Call, Given, endpoint
from sidecar.control.history import about, group_word
from sidecar.control.history_schema import UsagePage, UsageView
from sidecar.control.report_schema import (
    DENIED_BY,
    DENIED_MAX,
    CustomerUsageQuery,
    DenialsQuery,
    DenialsView,
    DenialView,
    StatsView,
    TopQuery,
    TopView,
)
from sidecar.control.schema import Nothing, Pagination, epoch_ms, instant
from sidecar.domain.denials import Denial
from sidecar.domain.errors import InvalidInput
from sidecar.domain.scopes import Scope
from sidecar.store.denials import KEPT_S

_HOUR_MS = 3_600_000
_DAY_HOURS = 24


async def show_customer_usage(call: Call[Nothing, CustomerUsageQuery]) -> Given[UsagePage]:
    """Add up what a customer was charged, by one or two of feature, rule, model, source, hour and day.

    Of a customer with a pool, what its members used counts too; of a member, only what it asked for.
    """
    query, parts = call.query, call.parts
    groups = [group_word(word) for word in query.group_by.split(",")]
    wanted = about(call.customer, query.unit, query.since, query.until)
    page = await parts.history.usage(groups, wanted, query.cursor, query.limit, query.tz)
    views = [UsageView.of(row, parts.units, query.tz) for row in page.items]
    return Given(UsagePage(data=views, pagination=Pagination.of(page.next_cursor)))


async def show_top_usage(call: Call[Nothing, TopQuery]) -> Given[TopView]:
    """List who or what was charged most of one unit, the most first; without meters."""
    query, parts = call.query, call.parts
    wanted = about(None, query.unit, query.since, query.until)
    rows = await parts.history.top_usage(group_word(query.by), wanted, query.limit, query.tz)
    return Given(TopView(data=[UsageView.of(row, parts.units, query.tz) for row in rows]))


async def show_stats(call: Call[Nothing, Nothing]) -> Given[StatsView]:
    """Say how many customers, accounts and entries there are, and what is in all accounts together.

    What is held is as of each account's last entry: a hold alone writes none.
    """
    return Given(StatsView.of(await call.parts.history.stats()))


async def show_denials(call: Call[Nothing, DenialsQuery]) -> Given[DenialsView]:
    """Count what the proxies have refused in whole hours of the last 35 days, by code, rule, customer, hour or day.

    Proxies tell it every few seconds, and what one that was killed had not told is missing.
    """
    query, hour_now = call.query, call.parts.now_ms() // _HOUR_MS
    groups = query.group_by.split(",")
    if len(set(groups)) < len(groups) or not set(groups) <= set(DENIED_BY):
        raise InvalidInput(f"group_by must be different ones of {', '.join(DENIED_BY)}, with commas.", "group_by")
    first = hour_now - _DAY_HOURS if query.since is None else epoch_ms(query.since, "from") // _HOUR_MS
    last = hour_now if query.until is None else -(-epoch_ms(query.until, "to") // _HOUR_MS) - 1
    hours = range(max(first, hour_now - KEPT_S // 3600), min(last, hour_now) + 1)
    sums: Counter[tuple[str, ...]] = Counter()
    for hour, counted in (await call.parts.denials.between(hours)).items():
        for denial, number in counted.items():
            if query.customer_id in {None, denial.customer_id}:
                sums[tuple(_named(by, hour, denial) for by in groups)] += number
    most = sorted(sums.items(), key=lambda item: (-item[1], item[0]))[:DENIED_MAX]
    return Given(DenialsView(data=[DenialView.of(dict(zip(groups, key, strict=True)), n) for key, n in most]))


def _named(by: str, hour: int, denial: Denial) -> str:
    if by == "hour":
        return _start(hour)
    if by == "day":
        return _start(hour - hour % _DAY_HOURS)
    return {"code": denial.code, "rule": denial.rule, "customer": denial.customer_id}[by]


def _start(hour: int) -> str:
    return instant(hour * _HOUR_MS).strftime("%Y-%m-%dT%H:%M:%SZ")


ENDPOINTS = (
    endpoint("GET", f"{BY_ID}/usage", show_customer_usage, {200: "One page of sums."}, scope=Scope.USAGE_READ),
    endpoint("GET", "/v1/usage/top", show_top_usage, {200: "The sums."}, scope=Scope.USAGE_READ),
    endpoint("GET", "/v1/usage/denied", show_denials, {200: "The counts."}, scope=Scope.USAGE_READ),
    endpoint("GET", "/v1/stats", show_stats, {200: "The sums."}, scope=Scope.USAGE_READ),
)
