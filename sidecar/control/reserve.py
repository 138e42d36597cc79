"""Reservations by who calls the API instead of the proxy: the life of each, found by its id alone."""

from sidecar.control.endpoint import Body, Call, Given, Parts, Query, Repeat, endpoint
from sidecar.control.reserve_schema import (
    Commit,
    CommittedView,
    Extend,
    Increase,
    Release,
    Reserve,
    StandingView,
    said,
)
from sidecar.control.schema import Nothing
from sidecar.control.whose import customer_of
from sidecar.domain.amounts import CREDITS
from sidecar.domain.costs import Cost
from sidecar.domain.errors import InvalidInput
from sidecar.domain.notes import Note
from sidecar.domain.scopes import Scope

_PATH = "/v1/reserve/{reservation_id}"


async def reserve(call: Call[Reserve, Nothing]) -> Given[StandingView]:
    """Set credit aside for some work, before it is done.

    What is held can be spent by nothing else, until it is committed or released, or its time is over.
    """
    asked, parts = call.body, call.parts
    cost = _cost(parts, asked)
    customer = await customer_of(parts, asked, make=parts.auto_create_customers)
    note = Note.of(asked.metadata, call.detail)
    standing, available = await parts.reservations.reserve(customer, call.once, cost, asked.ttl_seconds * 1000, note)
    return Given(StandingView.of(standing, parts.units, available), 201)


async def commit_reservation(call: Call[Commit, Nothing]) -> Given[CommittedView]:
    """Charge what the work has cost, and give the rest back.

    With `final: false` it charges so far, and goes on. What it comes to is always said in all, so that to say it
    again charges nothing twice.
    """
    asked, parts = call.body, call.parts
    committed = await parts.reservations.commit(
        _id(call),
        said(asked.credits, asked.actual_units, "actual_units"),
        final=asked.final,
        overrun=asked.on_over,
    )
    return Given(CommittedView.after(committed, parts.units))


async def release_reservation(call: Call[Release, Nothing]) -> Given[StandingView]:
    """Give back all that is held."""
    standing, available = await call.parts.reservations.release(_id(call), call.body.reason)
    return Given(StandingView.of(standing, call.parts.units, available))


async def extend_reservation(call: Call[Extend, Nothing]) -> Given[StandingView]:
    """Let a reservation live longer: at least so long from now on."""
    standing = await call.parts.reservations.extend(_id(call), call.body.ttl_seconds * 1000)
    return Given(StandingView.of(standing, call.parts.units))


async def increase_reservation(call: Call[Increase, Nothing]) -> Given[StandingView]:
    """Hold more: enough for what is said, in all. It never holds less than before."""
    enough = said(call.body.credits, call.body.estimated_units, "estimated_units")
    standing, available = await call.parts.reservations.increase(_id(call), enough)
    return Given(StandingView.of(standing, call.parts.units, available))


async def find_reservation(call: Call[Nothing, Nothing]) -> Given[StandingView]:
    """Look at a reservation, also at one that has ended."""
    return Given(StandingView.of(await call.parts.reservations.show(_id(call)), call.parts.units))


def _cost(parts: Parts, asked: Reserve) -> Cost:
    """What is to be held. InvalidInput for both ways to say it, or none."""
    wanted, metric = said(asked.credits, asked.estimated_units, "estimated_units"), asked.billable_metric_key or ""
    if (wanted.units is None) == bool(metric) or (metric and (asked.unit or asked.feature)):
        raise InvalidInput(
            "Say either `billable_metric_key` and `estimated_units`, or `credits` with `unit` and `feature`.",
            "billable_metric_key",
        )
    if wanted.units is not None:
        return parts.pricing.quote(metric, wanted.units)
    return Cost(unit=parts.unit(asked.unit or CREDITS.name).name, amount=wanted.amount, feature=asked.feature or "")


def _id(call: Call[Body, Query]) -> str:
    return call.path["reservation_id"]


ENDPOINTS = (
    endpoint("POST", "/v1/reserve", reserve, {201: "It is held."}, Repeat.REQUIRED, scope=Scope.RESERVATIONS_WRITE),
    endpoint("GET", _PATH, find_reservation, {200: "How it stands."}, scope=Scope.RESERVATIONS_READ),
    endpoint(
        "POST",
        f"{_PATH}/commit",
        commit_reservation,
        {200: "It is charged."},
        Repeat.REQUIRED,
        scope=Scope.RESERVATIONS_WRITE,
    ),
    endpoint(
        "POST",
        f"{_PATH}/release",
        release_reservation,
        {200: "It is given back."},
        Repeat.REQUIRED,
        scope=Scope.RESERVATIONS_WRITE,
    ),
    endpoint(
        "POST",
        f"{_PATH}/extend",
        extend_reservation,
        {200: "It lives longer."},
        Repeat.RECORDED,
        scope=Scope.RESERVATIONS_WRITE,
    ),
    endpoint(
        "POST",
        f"{_PATH}/increase",
        increase_reservation,
        {200: "It holds that much."},
        Repeat.REQUIRED,
        scope=Scope.RESERVATIONS_WRITE,
    ),
)
