"""Periods: credit that comes anew in each, and of which a part is carried. Whoever calls keeps the calendar."""

import secrets

from msgspec.structs import replace

from sidecar.control.endpoint import BY_ID, Body, Call, Given, Query, Repeat, endpoint
from sidecar.control.period_schema import (
    ClosePeriod,
    OpenPeriod,
    PeriodsQuery,
    PeriodTermsView,
    RollPeriod,
    SetPeriods,
    TurnedView,
)
from sidecar.control.pools import refuse_member
from sidecar.control.schema import Nothing, epoch_ms
from sidecar.domain.blocks import Grant
from sidecar.domain.customers import Customer
from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.periods import SERIES, Closing, PeriodTerms
from sidecar.domain.scopes import Scope

_PATH = f"{BY_ID}/periods"


async def set_periods(call: Call[SetPeriods, Nothing]) -> Given[PeriodTermsView]:
    """Say what a customer gets of a unit in each period, and what of it is carried into the next.

    Nothing is given and nothing expires by this: the next open and close go by it.
    """
    refuse_member(call.customer)
    unit, terms = call.parts.unit(call.body.unit).name, call.body.terms

    def change(customer: Customer) -> Customer:
        return replace(customer, periods={**customer.periods, unit: terms})

    changed = await call.parts.customers.update(call.customer.customer_id, change, expected=call.expected)
    return await _shown(call, changed, unit)


async def show_periods(call: Call[Nothing, PeriodsQuery]) -> Given[PeriodTermsView]:
    """What a customer gets of a unit in each period, and when the last one was opened."""
    return await _shown(call, call.customer, call.parts.unit(call.query.unit).name)


async def open_period(call: Call[OpenPeriod, Nothing]) -> Given[TurnedView]:
    """Give a customer the credit of a period: once for ever for each start.

    The same start again changes nothing, whatever the allocation, and is answered as it was at first.
    """
    body = call.body
    return await _turn(call, body, None, _opening(call, body, epoch_ms(body.period_start, "period_start")))


async def close_period(call: Call[ClosePeriod, Nothing]) -> Given[TurnedView]:
    """Let expire what of the credit of periods is neither spent, nor held, nor carried: once for ever for each end.

    It happens now; the end names it. Credit that came otherwise is left alone, and so is what is held.
    """
    body = call.body
    return await _turn(call, body, _closing(call, body, epoch_ms(body.period_end, "period_end")), None)


async def roll_period(call: Call[RollPeriod, Nothing]) -> Given[TurnedView]:
    """Close the period that ends at an instant and open the one that starts then, as one.

    What of it was done before is not done again.
    """
    body, at_ms = call.body, epoch_ms(call.body.period_end, "period_end")
    return await _turn(call, body, _closing(call, body, at_ms), _opening(call, body, at_ms))


def _closing(call: Call[Body, Query], body: ClosePeriod | RollPeriod, ends_at_ms: int) -> Closing:
    terms = call.customer.periods.get(body.unit, PeriodTerms())
    return Closing(ends_at_ms=ends_at_ms, carry=terms.carry)


def _opening(call: Call[Body, Query], body: OpenPeriod | RollPeriod, starts_at_ms: int) -> Grant:
    terms = _terms(call.customer, body.unit)
    amount = terms.allocation if body.allocation is None else body.allocation
    if amount is None:
        raise InvalidInput("The customer's terms have no allocation, so say how much it is.", "allocation")
    return Grant(
        block_id=new_id("blk", call.parts.now_ms(), secrets.token_bytes(10)),
        unit=body.unit,
        amount=amount,
        source=SERIES,
        reason=body.reason,
        priority=terms.priority,
        series=SERIES,
        period_starts_at_ms=starts_at_ms,
    )


async def _turn(
    call: Call[Body, Query], body: OpenPeriod | ClosePeriod | RollPeriod, closing: Closing | None, grant: Grant | None
) -> Given[TurnedView]:
    customer, parts, unit = call.customer, call.parts, call.parts.unit(body.unit).name
    refuse_member(customer)
    detail = {**call.detail, **({"why": body.reason} if body.reason else {})}
    turned = await parts.periods.turn(customer.customer_id, unit, closing, grant, call.once, detail)
    await parts.history.written(customer.customer_id, turned.entry)
    return Given(TurnedView.of(customer, unit, closing, grant, turned), replayed=turned.replayed)


async def _shown(call: Call[Body, Query], customer: Customer, unit: str) -> Given[PeriodTermsView]:
    terms = _terms(customer, unit)
    opened_last_ms = await call.parts.periods.opened_last_ms(customer.customer_id, unit)
    return Given(PeriodTermsView.of(customer, unit, terms, opened_last_ms), version=customer.version)


def _terms(customer: Customer, unit: str) -> PeriodTerms:
    terms = customer.periods.get(unit)
    if terms is None:
        raise NotFound(
            f"{customer.customer_id} has no periods of {unit}; PUT …/periods/config says what it gets in each."
        )
    return terms


ENDPOINTS = (
    endpoint(
        "PUT",
        f"{_PATH}/config",
        set_periods,
        {200: "The terms that hold now."},
        Repeat.RECORDED,
        scope=Scope.CREDITS_WRITE,
        versioned=True,
    ),
    endpoint(
        "GET",
        f"{_PATH}/config",
        show_periods,
        {200: "The terms that hold."},
        scope=Scope.CREDITS_READ,
        versioned=True,
    ),
    endpoint("POST", f"{_PATH}/open", open_period, {200: "The credit."}, Repeat.IN_LEDGER, scope=Scope.CREDITS_WRITE),
    endpoint(
        "POST",
        f"{_PATH}/close",
        close_period,
        {200: "What became of the credit."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
    endpoint(
        "POST",
        f"{_PATH}/roll",
        roll_period,
        {200: "What became of the one, and the credit of the other."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
)
