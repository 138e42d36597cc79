"""Counters: how much of what a customer has used in which period, where its prices over a period go on from."""

from sidecar.control.credit_schema import CountersView, CounterView
from sidecar.control.endpoint import BY_ID, Call, Given, endpoint
from sidecar.control.pools import payer_of
from sidecar.control.schema import Nothing
from sidecar.domain.scopes import Scope


async def show_counters(call: Call[Nothing, Nothing]) -> Given[CountersView]:
    """Look at the counters of a customer: running periods, and those that were over a short while ago.

    A member of a pool is shown those of its parent, where it counts too.
    """
    customer = call.customer
    payer_id = payer_of(customer)
    view = CountersView(
        customer_id=customer.customer_id,
        external_id=customer.external_id,
        payer_customer_id=payer_id,
        counters=[CounterView.of(state) for state in await call.parts.counters.of(payer_id)],
    )
    return Given(view)


ENDPOINTS = (endpoint("GET", f"{BY_ID}/counters", show_counters, {200: "The counters."}, scope=Scope.CREDITS_READ),)
