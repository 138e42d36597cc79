"""Customers: make one, look at one."""

from sidecar.control.endpoint import BY_ID, Call, Given, Repeat, endpoint
from sidecar.control.schema import CreateCustomer, CustomerView, Nothing


async def create_customer(call: Call[CreateCustomer, Nothing]) -> Given[CustomerView]:
    """Make a customer, or find the one that has this external id.

    A customer that is found is answered with 200 and stays as it is.
    """
    customer, created = await call.parts.customers.create(
        external_id=call.body.external_id, display_name=call.body.display_name, now_ms=call.parts.now_ms()
    )
    return Given(CustomerView.of(customer), 201 if created else 200)


async def show_customer(call: Call[Nothing, Nothing]) -> Given[CustomerView]:
    """Look at a customer."""
    return Given(CustomerView.of(call.customer))


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/customers",
        create_customer,
        {201: "The customer was made.", 200: "The customer was there already."},
        Repeat.RECORDED,
    ),
    endpoint("GET", BY_ID, show_customer, {200: "The customer."}),
)
