"""Pools: several customers on the accounts of one, each with a cap of its own."""

import asyncio
from collections.abc import Sequence

from sidecar.control.credit_schema import PoolView, SetPoolCap, ShareView
from sidecar.control.endpoint import BY_ID, Body, Call, Given, Query, Repeat, endpoint
from sidecar.control.schema import Nothing
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Conflict
from sidecar.domain.scopes import Scope


def payer_of(customer: Customer) -> str:
    """Whose accounts a customer's requests are paid from."""
    return customer.parent_id or customer.customer_id


def refuse_member(customer: Customer) -> None:
    """Raises Conflict for a member of a pool: credit of its own would never be spent."""
    if customer.parent_id is not None:
        raise Conflict(
            f"{customer.customer_id} is a member of a pool and has no credit of its own: do this for "
            f"{customer.parent_id}, who pays for it."
        )


async def shares_of(call: Call[Body, Query], units: Sequence[str]) -> list[ShareView]:
    """What a member takes of its pool, in each of `units`."""
    member, parts = call.customer.customer_id, call.parts
    shares = await asyncio.gather(*(parts.customers.pool_share(member, unit) for unit in units))
    return [ShareView.of(share, parts.units.get(share.unit)) for share in shares]


async def set_pool_cap(call: Call[SetPoolCap, Nothing]) -> Given[ShareView]:
    """Say how much a member of a pool may hold and spend, all in all.

    A cap below what it has spent is allowed: then nothing more can be held.
    """
    unit = call.parts.unit(call.body.unit)
    share = await call.parts.customers.set_pool_cap(call.customer.customer_id, unit.name, call.body.cap)
    return Given(ShareView.of(share, unit))


async def show_pool(call: Call[Nothing, Nothing]) -> Given[PoolView]:
    """Look at what a member takes of its pool, and may take, in each unit that is configured or that the pool has."""
    customer, parts = call.customer, call.parts
    if customer.parent_id is None:
        raise Conflict(f"{customer.customer_id} is in no pool; a customer joins one when it is made.")
    had = {balance.unit for balance in await parts.accounts.balances(customer.parent_id)}
    shares = await shares_of(call, sorted(had | parts.units.keys()))
    return Given(PoolView(customer_id=customer.customer_id, parent_customer_id=customer.parent_id, shares=shares))


ENDPOINTS = (
    endpoint(
        "PUT",
        f"{BY_ID}/pool",
        set_pool_cap,
        {200: "The share, with its new cap."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
    ),
    endpoint("GET", f"{BY_ID}/pool", show_pool, {200: "The shares."}, scope=Scope.CUSTOMERS_READ),
)
