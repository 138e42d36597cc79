"""Credit blocks: list what a customer has, end one, move its expiry."""

from sidecar.control.block_schema import (
    BlockChangeView,
    BlockPage,
    BlocksQuery,
    ExtendBlock,
    SimulateCharge,
    SimulatedSlice,
    SimulationView,
    VoidBlock,
)
from sidecar.control.credit_schema import BalanceView, block_views
from sidecar.control.endpoint import BY_ID, Body, Call, Given, Repeat, endpoint
from sidecar.control.pools import payer_of, refuse_member
from sidecar.control.schema import Nothing, Pagination, epoch_ms
from sidecar.domain.burn_order import draw
from sidecar.domain.errors import InvalidInput
from sidecar.domain.outcomes import Changed
from sidecar.domain.scopes import Scope
from sidecar.store.accounts import balance_of


async def list_blocks(call: Call[Nothing, BlocksQuery]) -> Given[BlockPage]:
    """List the live blocks of a customer, each unit's in burn order; of a member of a pool, its parent's.

    A block leaves the list when it is used up, or over and nothing of it is held. All are on one page.
    """
    unit = None if call.query.unit is None else call.parts.unit(call.query.unit).name
    views = [
        view
        for account in await call.parts.accounts.accounts(payer_of(call.customer))
        if unit in {None, account.unit}
        for view in block_views(account.blocks, call.parts.units.get(account.unit))
    ]
    return Given(BlockPage(data=views, pagination=Pagination.of(None)))


async def simulate_charge(call: Call[SimulateCharge, Nothing]) -> Given[SimulationView]:
    """Say which blocks an amount would take now, in burn order. Nothing is changed.

    Of a member of a pool, its parent's; caps and limits are not asked.
    """
    body, payer_id = call.body, payer_of(call.customer)
    unit = call.parts.unit(body.unit).name
    blocks = {block.number: block for block in (await call.parts.accounts.account(payer_id, unit)).blocks}
    slices, missing = draw(blocks.values(), body.credits, body.feature, body.rule)
    would = [
        SimulatedSlice(
            block_id=blocks[each.block].grant.block_id,
            amount=each.amount,
            left=blocks[each.block].available - each.amount,
        )
        for each in slices
    ]
    return Given(SimulationView(customer_id=payer_id, unit=unit, slices=would, missing=missing))


async def void_block(call: Call[VoidBlock, Nothing]) -> Given[BlockChangeView]:
    """End a block now. What requests under way hold of it can still be charged; what they give back is voided too.

    It is answered when it is archived.
    """
    customer_id, unit = _own(call), call.parts.unit(call.body.unit)
    changed = await call.parts.accounts.void(customer_id, unit.name, call.path["block_id"], call.once, call.detail)
    return await _changed(call, unit.name, changed, voided=changed.amount)


async def extend_block(call: Call[ExtendBlock, Nothing]) -> Given[BlockChangeView]:
    """Move the expiry of a block, to later or to earlier, or take it away. It is answered when it is archived."""
    customer_id, unit, wanted = _own(call), call.parts.unit(call.body.unit), call.body.expires_at
    expires_at_ms = None if wanted is None else epoch_ms(wanted, "expires_at")
    try:
        changed = await call.parts.accounts.extend(
            customer_id, unit.name, call.path["block_id"], expires_at_ms, call.once, call.detail
        )
    except InvalidInput as error:
        raise InvalidInput(error.detail, "expires_at") from error
    return await _changed(call, unit.name, changed, voided=0)


def _own(call: Call[Body, Nothing]) -> str:
    refuse_member(call.customer)
    return call.customer.customer_id


async def _changed(call: Call[Body, Nothing], unit: str, changed: Changed, *, voided: int) -> Given[BlockChangeView]:
    customer = call.customer
    await call.parts.history.written(customer.customer_id, changed.entry)
    view = BlockChangeView(
        block_id=changed.block_id,
        customer_id=customer.customer_id,
        external_id=customer.external_id,
        unit=unit,
        voided=voided,
        balance=BalanceView.of(balance_of(unit, changed.totals), call.parts.units[unit]),
    )
    return Given(view, replayed=changed.replayed)


ENDPOINTS = (
    endpoint("GET", f"{BY_ID}/credits/blocks", list_blocks, {200: "The live blocks."}, scope=Scope.CREDITS_READ),
    endpoint(
        "POST",
        f"{BY_ID}/credits/simulate",
        simulate_charge,
        {200: "What it would take."},
        Repeat.BY_ITSELF,
        scope=Scope.CREDITS_READ,
    ),
    endpoint(
        "POST",
        f"{BY_ID}/credits/blocks/{{block_id}}/void",
        void_block,
        {200: "The block is over."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
    endpoint(
        "POST",
        f"{BY_ID}/credits/blocks/{{block_id}}/extend",
        extend_block,
        {200: "The block expires when it shall."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
)
