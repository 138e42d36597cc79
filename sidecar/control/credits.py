"""Credit: give it, look at what is left, and the units it is counted in."""

import secrets

from sidecar.control.endpoint import BY_ID, Call, Given, Repeat, endpoint
from sidecar.control.schema import (
    BalanceView,
    CreditsView,
    GrantCredits,
    GrantView,
    Nothing,
    Pagination,
    UnitPage,
    UnitView,
)
from sidecar.domain.ids import new_id


async def grant_credits(call: Call[GrantCredits, Nothing]) -> Given[GrantView]:
    """Give a customer credit.

    What the customer owes in this unit is repaid first. A replay answers the balance of the first time.
    """
    wanted, customer = call.body, call.customer
    unit = call.parts.unit(wanted.unit)
    granted = await call.parts.ledger.grant(
        customer_id=customer.customer_id,
        unit=unit.name,
        amount=wanted.credits,
        grant_id=new_id("grt", call.parts.now_ms(), secrets.token_bytes(10)),
        source=wanted.source,
        reason=wanted.reason,
        once=call.once,
    )
    view = GrantView(
        grant_id=granted.grant_id,
        customer_id=customer.customer_id,
        external_id=customer.external_id,
        unit=unit.name,
        credits=wanted.credits,
        source=wanted.source,
        reason=wanted.reason,
        balance=BalanceView.of(granted.balance, unit),
    )
    return Given(view, 201, granted.replayed)


async def show_credits(call: Call[Nothing, Nothing]) -> Given[CreditsView]:
    """Look at the balances of a customer, one for each unit it was ever granted."""
    customer = call.customer
    balances = await call.parts.ledger.balances(customer.customer_id)
    return Given(
        CreditsView(
            customer_id=customer.customer_id,
            external_id=customer.external_id,
            balances=[BalanceView.of(each, call.parts.units.get(each.unit)) for each in balances],
        )
    )


async def list_units(call: Call[Nothing, Nothing]) -> Given[UnitPage]:
    """List the units that credit can be counted in, and the decimal places of each."""
    units = [UnitView(unit=unit.name, scale=unit.scale) for unit in call.parts.units.values()]
    return Given(UnitPage(data=units, pagination=Pagination.of(None)))


ENDPOINTS = (
    endpoint("POST", f"{BY_ID}/credits/grant", grant_credits, {201: "The credit is available."}, Repeat.IN_LEDGER),
    endpoint("GET", f"{BY_ID}/credits", show_credits, {200: "The balances."}),
    endpoint("GET", "/v1/units", list_units, {200: "The units."}),
)
