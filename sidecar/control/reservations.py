"""Reservations that have not ended: what is held, for whom, until when."""

from sidecar.control.endpoint import BY_ID, Call, Given, endpoint
from sidecar.control.hold_schema import HoldPage, HoldsQuery, HoldView, SliceView
from sidecar.control.schema import Nothing, Pagination
from sidecar.domain.outcomes import OpenHold
from sidecar.domain.scopes import Scope


async def list_reservations(call: Call[Nothing, HoldsQuery]) -> Given[HoldPage]:
    """List the open holds, of all customers or of one.

    Those of a customer are what it asked for, and what members of its pool asked for.
    """
    wanted = call.query
    customer = await call.parts.customers.get(wanted.customer_id) if wanted.customer_id else None
    holds, next_cursor = await call.parts.open_holds.page(
        customer_id=customer.customer_id if customer else None, limit=wanted.limit, cursor=wanted.cursor or None
    )
    views = [HoldView.of(hold, call.parts.units) for hold in holds]
    return Given(HoldPage(data=views, pagination=Pagination.of(next_cursor)))


async def show_reservation(call: Call[Nothing, Nothing]) -> Given[HoldView]:
    """Look at one open hold of a customer, and at the blocks that it is taken out of.

    One that has ended is not found; the ledger has its story.
    """
    hold = await call.parts.open_holds.find(call.customer.customer_id, call.path["reservation_id"])
    slices = [each for part in (hold, *hold.others) for each in await _slices(call, part)]
    return Given(HoldView.of(hold, call.parts.units, slices))


async def _slices(call: Call[Nothing, Nothing], part: OpenHold) -> list[SliceView]:
    """The slices of one unit, with the ids of their blocks. A hold that ends meanwhile may lose some."""
    account = await call.parts.accounts.account(part.payer_id, part.unit)
    ids = {block.number: block.grant.block_id for block in account.blocks}
    return [
        SliceView(block_id=ids[each.block], unit=part.unit, amount=each.amount)
        for each in part.drawn
        if each.block in ids
    ]


ENDPOINTS = (
    endpoint(
        "GET", "/v1/reservations", list_reservations, {200: "One page of open holds."}, scope=Scope.RESERVATIONS_READ
    ),
    endpoint(
        "GET",
        f"{BY_ID}/reservations/{{reservation_id}}",
        show_reservation,
        {200: "The open hold."},
        scope=Scope.RESERVATIONS_READ,
    ),
)
