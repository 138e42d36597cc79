"""Customers: make one, look at one."""

from sidecar.control.endpoint import BY_ID, Call, Given, Parts, Repeat, endpoint
from sidecar.control.schema import CreateCustomer, CustomerView, Nothing
from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.scopes import Scope
from sidecar.store.customers import Customer


async def create_customer(call: Call[CreateCustomer, Nothing]) -> Given[CustomerView]:
    """Make a customer, or find the one that has this external id.

    A customer that is found is answered with 200 and stays as it is. With a parent it is a member of that customer's
    pool for ever: what it does is paid from the parent's credit.
    """
    customer, created = await call.parts.customers.create(
        external_id=call.body.external_id,
        display_name=call.body.display_name,
        now_ms=call.parts.now_ms(),
        parent_id=await _parent_id(call.parts, call.body),
    )
    return Given(await _view(call.parts, customer), 201 if created else 200)


async def show_customer(call: Call[Nothing, Nothing]) -> Given[CustomerView]:
    """Look at a customer."""
    return Given(await _view(call.parts, call.customer))


async def _parent_id(parts: Parts, wanted: CreateCustomer) -> str | None:
    if wanted.parent_customer_id is not None and wanted.parent_external_id is not None:
        raise InvalidInput("Give parent_customer_id or parent_external_id, not both.", "parent_external_id")
    if wanted.parent_external_id is None:
        return wanted.parent_customer_id
    if (found := await parts.customers.resolve(wanted.parent_external_id)) is None:
        raise NotFound("There is no customer with the external id of the parent; make the parent first.")
    return found


async def _view(parts: Parts, customer: Customer) -> CustomerView:
    parent = None if customer.parent_id is None else await parts.customers.get(customer.parent_id)
    return CustomerView.of(customer, parent)


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/customers",
        create_customer,
        {201: "The customer was made.", 200: "The customer was there already."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
    ),
    endpoint("GET", BY_ID, show_customer, {200: "The customer."}, scope=Scope.CUSTOMERS_READ),
)
