"""Spend caps: how much a customer may spend in windows of time, whatever its balance is."""

import secrets

from sidecar.control.endpoint import BY_ID, Call, Given, Repeat, endpoint
from sidecar.control.pools import payer_of
from sidecar.control.schema import Nothing
from sidecar.control.spend_cap_schema import (
    RemoveSpendCapQuery,
    SetSpendCap,
    SpendCapPage,
    SpendCapsQuery,
    SpendCapView,
)
from sidecar.domain.clocks import checked_clock
from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.scopes import Scope
from sidecar.domain.spend_caps import CapScope, CapStand, SpendCap


async def add_spend_cap(call: Call[SetSpendCap, Nothing]) -> Given[SpendCapView]:
    """Cap what a customer may spend in each window of time, from now on.

    What was reserved before does not count. A customer may have several caps, and all of them must let a request
    through. A member of a pool has caps of its own, within those of who pays.
    """
    customer, parts = call.customer, call.parts
    unit, cap = parts.unit(call.body.unit), spend_cap(call.body, call.parts.now_ms())
    if cap.scope is CapScope.KEY:
        keys = await parts.customers.keys(customer.customer_id)
        if cap.of not in {key.key_id for key in keys}:
            raise InvalidInput(f"{customer.customer_id} has no proxy key {cap.of}.", "key_id")
    await parts.spend_caps.add(payer_of(customer), customer.customer_id, cap)
    fresh = CapStand(cap, 0, 0, cap.counters(cap.created_at_ms)[0].until_ms)
    return Given(SpendCapView.of(customer, fresh, unit), 201)


async def list_spend_caps(call: Call[Nothing, SpendCapsQuery]) -> Given[SpendCapPage]:
    """List the spend caps of a customer, in the order in which they were made, and how they stand; on one page."""
    units = [call.parts.unit(call.query.unit)] if call.query.unit is not None else list(call.parts.units.values())
    views = [
        SpendCapView.of(call.customer, stand, unit)
        for unit in units
        for stand in await call.parts.spend_caps.of(payer_of(call.customer), call.customer.customer_id, unit.name)
    ]
    return Given(SpendCapPage(data=views))


async def remove_spend_cap(call: Call[Nothing, RemoveSpendCapQuery]) -> Given[SpendCapView]:
    """Take a spend cap away. It is answered as it stood."""
    customer, unit, cap_id = call.customer, call.parts.unit(call.query.unit), call.path["cap_id"]
    caps, payer_id = call.parts.spend_caps, payer_of(call.customer)
    stands = await caps.of(payer_id, customer.customer_id, unit.name)
    found = next((stand for stand in stands if stand.cap.cap_id == cap_id), None)
    if found is None:
        raise NotFound(f"{customer.customer_id} has no spend cap {cap_id} in {unit.name}.")
    await caps.remove(payer_id, customer.customer_id, unit.name, cap_id)
    return Given(SpendCapView.of(customer, found, unit))


def spend_cap(wanted: SetSpendCap, now_ms: int) -> SpendCap:
    """What is asked for, with an id of its own. Raises InvalidInput."""
    if (wanted.window is None) == (wanted.rolling_seconds is None):
        raise InvalidInput("Give one of window and rolling_seconds.", "window")
    if wanted.rolling_seconds is not None and wanted.tz != "UTC":
        raise InvalidInput("A window that goes along has no calendar: leave out tz.", "tz")
    named = {CapScope.FEATURE: wanted.feature, CapScope.RULE: wanted.rule, CapScope.KEY: wanted.key_id}
    for scope, name in named.items():
        field = "key_id" if scope is CapScope.KEY else scope.value
        if name is None and scope is wanted.scope:
            raise InvalidInput(f"The scope {scope} needs {field}.", field)
        if name is not None and scope is not wanted.scope:
            raise InvalidInput(f"{field} is for the scope {scope}; this cap has the scope {wanted.scope}.", field)
    return SpendCap(
        cap_id=new_id("cap", now_ms, secrets.token_bytes(10)),
        unit=wanted.unit,
        amount=wanted.amount,
        window=wanted.window,
        rolling_ms=(wanted.rolling_seconds or 0) * 1000,
        tz=checked_clock(wanted.tz),
        scope=wanted.scope,
        of=named.get(wanted.scope) or "",
        blocks=wanted.action == "block",
        warn_at=tuple(sorted(set(wanted.warn_at))),
        created_at_ms=now_ms,
    )


ENDPOINTS = (
    endpoint(
        "POST",
        f"{BY_ID}/spend-caps",
        add_spend_cap,
        {201: "The cap, which holds from now on."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
    ),
    endpoint(
        "GET",
        f"{BY_ID}/spend-caps",
        list_spend_caps,
        {200: "The caps, and how they stand."},
        scope=Scope.CUSTOMERS_READ,
    ),
    endpoint(
        "DELETE",
        f"{BY_ID}/spend-caps/{{cap_id}}",
        remove_spend_cap,
        {200: "The cap as it stood; it holds no more."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
    ),
)
