"""Auto-top-ups: when a customer's credit runs low, a request that somebody charges it for a package."""

from sidecar.control.auto_topup_schema import (
    AutoTopupPage,
    AutoTopupView,
    DeclineRequest,
    RequestsQuery,
    SetAutoTopup,
    TopupRequestPage,
    TopupRequestView,
)
from sidecar.control.endpoint import BY_ID, Body, Call, Given, Query, Repeat, endpoint
from sidecar.control.packages import package_of
from sidecar.control.pools import refuse_member
from sidecar.control.schema import Nothing, Pagination
from sidecar.control.thresholds import unit_of
from sidecar.domain.auto_topups import AutoTopup, RequestFilter, RequestState
from sidecar.domain.scopes import Scope
from sidecar.domain.topups import checked_package

OF_CUSTOMER = f"{BY_ID}/auto-topup"
REQUESTS = "/v1/topup-requests"


async def set_auto_topup(call: Call[SetAutoTopup, Nothing]) -> Given[AutoTopupView]:
    """Ask for a package whenever a customer's balance of a unit is low.

    It is looked at now, with each entry of the customer's ledger, and now and then. One request at a time is
    outstanding for a balance; its event is `topup.requested`. Whoever takes the money grants the top-up with
    `auto_topup_request_id`, or declines.
    """
    body, parts = call.body, call.parts
    refuse_member(call.customer)
    unit = unit_of(call)
    checked_package(package_of(parts.catalogue, body.package_id), body.package_id, unit=unit, amount=None)
    rule = AutoTopup(
        threshold=body.threshold,
        package_id=body.package_id,
        max_per_day=body.max_per_day,
        max_per_month=body.max_per_month,
        cool_down_s=body.cool_down_seconds,
        active=body.active,
    )
    customer_id, now_ms = call.customer.customer_id, parts.now_ms()
    watch = await parts.watching.set_auto_topup(customer_id, unit, rule, expected=call.expected, now_ms=now_ms)
    return Given(AutoTopupView.of(watch), version=watch.version)


async def list_auto_topups(call: Call[Nothing, Nothing]) -> Given[AutoTopupPage]:
    """List the auto-top-ups of a customer, by unit; on one page."""
    return await _page(call)


async def remove_auto_topup(call: Call[Nothing, Nothing]) -> Given[AutoTopupPage]:
    """Ask no more for a customer's balance of a unit; an outstanding request is canceled. Answers those that stay."""
    await call.parts.watching.drop_auto_topup(
        call.customer.customer_id, call.path["unit"], expected=call.expected, now_ms=call.parts.now_ms()
    )
    return await _page(call)


async def list_topup_requests(call: Call[Nothing, RequestsQuery]) -> Given[TopupRequestPage]:
    """List the requests for top-ups, the newest first.

    It has everything that had happened when it was asked.
    """
    query = call.query
    state = None if query.state is None else RequestState(query.state)
    wanted = RequestFilter(state=state, customer_id=query.customer_id)
    page = await call.parts.watching.topup_requests(wanted, query.cursor, query.limit)
    views = [TopupRequestView.of(request) for request in page.items]
    return Given(TopupRequestPage(data=views, pagination=Pagination.of(page.next_cursor)))


async def show_topup_request(call: Call[Nothing, Nothing]) -> Given[TopupRequestView]:
    """Look at a request for a top-up."""
    return Given(TopupRequestView.of(await call.parts.watching.topup_request(call.path["request_id"])))


async def decline_topup_request(call: Call[DeclineRequest, Nothing]) -> Given[TopupRequestView]:
    """Say that a request will not be fulfilled, because its customer could not be charged.

    The balance may be asked for again, within the bounds of its rule. If the money comes after all, the top-up can
    still be granted for it.
    """
    declined = await call.parts.watching.decline(
        call.path["request_id"], call.body.reason, now_ms=call.parts.now_ms()
    )
    return Given(TopupRequestView.of(declined))


async def _page(call: Call[Body, Query]) -> Given[AutoTopupPage]:
    watches = await call.parts.watching.auto_topups(call.customer.customer_id)
    return Given(AutoTopupPage(data=[AutoTopupView.of(watch) for watch in watches]))


ENDPOINTS = (
    endpoint(
        "PUT",
        f"{OF_CUSTOMER}/{{unit}}",
        set_auto_topup,
        {200: "The rule."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint("GET", OF_CUSTOMER, list_auto_topups, {200: "The rules."}, scope=Scope.CUSTOMERS_READ),
    endpoint(
        "DELETE",
        f"{OF_CUSTOMER}/{{unit}}",
        remove_auto_topup,
        {200: "Those that stay."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint("GET", REQUESTS, list_topup_requests, {200: "One page of requests."}, scope=Scope.CREDITS_READ),
    endpoint(
        "GET", f"{REQUESTS}/{{request_id}}", show_topup_request, {200: "The request."}, scope=Scope.CREDITS_READ
    ),
    endpoint(
        "POST",
        f"{REQUESTS}/{{request_id}}/decline",
        decline_topup_request,
        {200: "The request, which has failed."},
        Repeat.RECORDED,
        scope=Scope.CREDITS_WRITE,
    ),
)
