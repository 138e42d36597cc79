"""Reservations that have not ended: what is held, for whom, until when."""

from sidecar.control.endpoint import Call, Given, endpoint
from sidecar.control.schema import HoldPage, HoldsQuery, HoldView, Nothing, Pagination


async def list_reservations(call: Call[Nothing, HoldsQuery]) -> Given[HoldPage]:
    """List the open holds, of all customers or of one."""
    wanted = call.query
    customer = await call.parts.customers.get(wanted.customer_id) if wanted.customer_id else None
    holds, next_cursor = await call.parts.ledger.open_holds(
        customer_id=customer.customer_id if customer else None, limit=wanted.limit, cursor=wanted.cursor or None
    )
    views = [HoldView.of(hold, call.parts.units.get(hold.unit)) for hold in holds]
    return Given(HoldPage(data=views, pagination=Pagination.of(next_cursor)))


ENDPOINTS = (endpoint("GET", "/v1/reservations", list_reservations, {200: "One page of open holds."}),)
