"""Overage: what becomes of a customer's requests that its credit does not cover."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from sidecar.control.credit_schema import AmountOrNone, UnitName
from sidecar.control.endpoint import BY_ID, Call, Given, Repeat, endpoint
from sidecar.control.pools import refuse_member
from sidecar.control.schema import Asked, Nothing, Wire, words
from sidecar.domain.amounts import CREDITS
from sidecar.domain.customers import Customer
from sidecar.domain.errors import InvalidInput
from sidecar.domain.overage import Overage, OveragePolicy, overage_of
from sidecar.domain.scopes import Scope

_PATH = f"{BY_ID}/overage-policy"


class SetOverage(Asked, frozen=True, kw_only=True):
    policy: Annotated[
        OveragePolicy,
        Meta(description="block: refused (402). allow, notify: served, and what credit does not cover is owed."),
    ]
    limit: (
        Annotated[AmountOrNone, Meta(description="Most base units that it may owe; any amount if not given.")] | None
    ) = None
    unit: Annotated[UnitName, Meta(description="In which unit.")] = CREDITS.name


class OverageQuery(Asked, frozen=True, kw_only=True):
    unit: UnitName = CREDITS.name


class OverageView(Wire, frozen=True, kw_only=True):
    customer_id: str
    external_id: str
    unit: str
    policy: Annotated[str, words(*OveragePolicy)]
    limit: int | None

    @classmethod
    def of(cls, customer: Customer, unit: str) -> "OverageView":
        overage = overage_of(customer.overage, unit)
        return cls(
            customer_id=customer.customer_id,
            external_id=customer.external_id,
            unit=unit,
            policy=overage.policy,
            limit=overage.limit,
        )


async def set_overage_policy(call: Call[SetOverage, Nothing]) -> Given[OverageView]:
    """Say what becomes of requests that a customer's credit does not cover, from now on.

    What its blocks do not have is held as overage, so that parallel requests never owe more than the limit together,
    and it is owed once it is charged. The next credit repays it. A member of a pool has the policy of who pays.
    """
    refuse_member(call.customer)
    wanted, unit = call.body, call.parts.unit(call.body.unit)
    if wanted.policy is OveragePolicy.BLOCK and wanted.limit is not None:
        raise InvalidInput("block has no limit: nothing may be owed.", "limit")
    overage = Overage(wanted.policy, wanted.limit)

    def change(customer: Customer) -> Customer:
        return replace(customer, overage={**customer.overage, unit.name: overage})

    changed = await call.parts.customers.update(call.customer.customer_id, change, expected=call.expected)
    return Given(OverageView.of(changed, unit.name), version=changed.version)


async def show_overage_policy(call: Call[Nothing, OverageQuery]) -> Given[OverageView]:
    """What becomes of requests that a customer's credit does not cover; of a member of a pool, that of who pays."""
    unit, customer = call.parts.unit(call.query.unit), call.customer
    if customer.parent_id is not None:
        parent = await call.parts.customers.get(customer.parent_id)
        customer = replace(customer, overage=parent.overage)
    return Given(OverageView.of(customer, unit.name), version=customer.version)


ENDPOINTS = (
    endpoint(
        "PUT",
        _PATH,
        set_overage_policy,
        {200: "The policy that holds now."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint(
        "GET", _PATH, show_overage_policy, {200: "The policy that holds."}, scope=Scope.CUSTOMERS_READ, versioned=True
    ),
)
