"""Low-balance thresholds: when a balance is low, for a customer or for all who have none of their own."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.control.credit_schema import Amount
from sidecar.control.endpoint import BY_ID, Body, Call, Given, Query, Repeat, endpoint
from sidecar.control.pools import payer_of, refuse_member
from sidecar.control.schema import Asked, Nothing, Pagination, Wire, instant
from sidecar.domain.alarms import THRESHOLDS_MAX
from sidecar.domain.errors import NotFound
from sidecar.domain.scopes import Scope
from sidecar.domain.watches import EVERYBODY, Thresholds, Watch

OF_CUSTOMER = f"{BY_ID}/thresholds"
OF_EVERYBODY = "/v1/thresholds"


class SetThresholds(Asked, frozen=True, kw_only=True):
    amounts: Annotated[
        list[Amount],
        Meta(max_length=THRESHOLDS_MAX, description="Base units, each once; none: no alarms."),
    ]


class ThresholdsView(Wire, frozen=True, kw_only=True):
    unit: str
    amounts: Annotated[list[int], Meta(description="The highest first.")]
    inherited: Annotated[bool, Meta(description="They are those for everybody: the customer has none of its own.")]
    low: Annotated[
        list[int], Meta(description="Those that what is left fell to, and has not risen above by 5 % since.")
    ]
    version: int
    updated_at: datetime

    @classmethod
    def of(cls, watch: Watch, customer_id: str) -> "ThresholdsView":
        return cls(
            unit=watch.unit,
            amounts=list(msgspec.json.decode(watch.body, type=Thresholds).amounts),
            inherited=watch.customer_id != customer_id,
            low=list(watch.low),
            version=watch.version,
            updated_at=instant(watch.updated_at_ms),
        )


class ThresholdsPage(Wire, frozen=True, kw_only=True):
    data: list[ThresholdsView]
    pagination: Pagination = msgspec.field(default_factory=lambda: Pagination.of(None))


async def set_thresholds(call: Call[SetThresholds, Nothing]) -> Given[ThresholdsView]:
    """Say at which amounts a customer's balance of a unit is low, whatever holds for everybody.

    When what can be spent and what is held, together, fall to one of them, that is a `credits.low_balance` event;
    and again only after they have risen above it by 5 %.
    """
    refuse_member(call.customer)
    return await _set(call, call.customer.customer_id)


async def set_default_thresholds(call: Call[SetThresholds, Nothing]) -> Given[ThresholdsView]:
    """Say at which amounts balances of a unit are low, of all customers who have no thresholds of their own."""
    return await _set(call, EVERYBODY)


async def list_thresholds(call: Call[Nothing, Nothing]) -> Given[ThresholdsPage]:
    """List the thresholds that hold for a customer, by unit; on one page.

    A member of a pool has those of who pays for it.
    """
    return await _page(call, payer_of(call.customer))


async def list_default_thresholds(call: Call[Nothing, Nothing]) -> Given[ThresholdsPage]:
    """List the thresholds that hold for everybody, by unit; on one page."""
    return await _page(call, EVERYBODY)


async def remove_thresholds(call: Call[Nothing, Nothing]) -> Given[ThresholdsPage]:
    """Take a customer's own thresholds of a unit away: those for everybody hold again. Answers what holds then."""
    refuse_member(call.customer)
    return await _remove(call, call.customer.customer_id)


async def remove_default_thresholds(call: Call[Nothing, Nothing]) -> Given[ThresholdsPage]:
    """Take the thresholds of a unit away that hold for everybody. Answers what holds then."""
    return await _remove(call, EVERYBODY)


async def _set(call: Call[SetThresholds, Nothing], owner: str) -> Given[ThresholdsView]:
    parts = call.parts
    watch = await parts.watching.set_thresholds(
        owner, unit_of(call), call.body.amounts, expected=call.expected, now_ms=parts.now_ms()
    )
    return Given(ThresholdsView.of(watch, owner), version=watch.version)


async def _page(call: Call[Body, Query], owner: str) -> Given[ThresholdsPage]:
    watches = await call.parts.watching.thresholds(owner)
    return Given(ThresholdsPage(data=[ThresholdsView.of(watch, owner) for watch in watches]))


async def _remove(call: Call[Nothing, Nothing], owner: str) -> Given[ThresholdsPage]:
    parts = call.parts
    await parts.watching.drop_thresholds(owner, call.path["unit"], expected=call.expected, now_ms=parts.now_ms())
    return await _page(call, owner)


def unit_of(call: Call[Body, Query]) -> str:
    """The unit of the path. NotFound when it is not configured."""
    unit: str = call.path["unit"]
    if unit not in call.parts.units:
        raise NotFound(f"There is no such unit; the configured ones are {', '.join(sorted(call.parts.units))}.")
    return unit


ENDPOINTS = (
    endpoint(
        "PUT",
        f"{OF_CUSTOMER}/{{unit}}",
        set_thresholds,
        {200: "The thresholds."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint("GET", OF_CUSTOMER, list_thresholds, {200: "The thresholds."}, scope=Scope.CUSTOMERS_READ),
    endpoint(
        "DELETE",
        f"{OF_CUSTOMER}/{{unit}}",
        remove_thresholds,
        {200: "What holds then."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint(
        "PUT",
        f"{OF_EVERYBODY}/{{unit}}",
        set_default_thresholds,
        {200: "The thresholds."},
        Repeat.RECORDED,
        scope=Scope.CATALOGUE_WRITE,
        versioned=True,
    ),
    endpoint("GET", OF_EVERYBODY, list_default_thresholds, {200: "The thresholds."}, scope=Scope.CATALOGUE_READ),
    endpoint(
        "DELETE",
        f"{OF_EVERYBODY}/{{unit}}",
        remove_default_thresholds,
        {200: "What holds then."},
        Repeat.RECORDED,
        scope=Scope.CATALOGUE_WRITE,
        versioned=True,
    ),
)
