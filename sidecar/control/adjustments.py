"""Corrections: more or less credit than there is by right, and charges that go back."""

import secrets

from sidecar.control.adjustment_schema import (
    AdjustCredits,
    AdjustmentView,
    RefundCharge,
    RefundedView,
    VoidUsage,
)
from sidecar.control.credit_schema import BalanceView
from sidecar.control.endpoint import BY_ID, Body, Call, Given, Repeat, endpoint
from sidecar.control.pools import payer_of, refuse_member
from sidecar.control.schema import Nothing, epoch_ms
from sidecar.domain.blocks import Grant
from sidecar.domain.errors import Conflict, Denied, InvalidInput, MergedInto
from sidecar.domain.history import Entry
from sidecar.domain.ids import new_id
from sidecar.domain.journal import Kind
from sidecar.domain.outcomes import Exceeded, RefusalCode, Short
from sidecar.domain.scopes import Scope
from sidecar.store.accounts import balance_of

ADJUSTMENT, REFUND = "adjustment", "refund"


async def adjust_credits(call: Call[AdjustCredits, Nothing]) -> Given[AdjustmentView]:
    """Correct what a customer has: give some, or take some away.

    What is given is a block of its own. What is taken comes out of the blocks in burn order, whatever they are
    restricted to; what is held is left alone. It is no usage. It is answered when it is archived.
    """
    body, customer = call.body, call.customer
    refuse_member(customer)
    if customer.merged_into is not None:
        raise MergedInto(customer.customer_id, customer.merged_into)
    if body.delta == 0:
        raise InvalidInput("delta must not be 0: there would be nothing to adjust.", "delta")
    if body.expires_at is not None and body.delta < 0:
        raise InvalidInput("expires_at is for what is given, with a delta above 0.", "expires_at")
    if body.reference_entry_id is not None:
        await call.parts.refunding.entry(customer.customer_id, body.reference_entry_id)
    return await (_give(call) if body.delta > 0 else _take(call))


async def _give(call: Call[AdjustCredits, Nothing]) -> Given[AdjustmentView]:
    body, parts, customer_id = call.body, call.parts, call.customer.customer_id
    unit = parts.unit(body.unit)
    grant = Grant(
        block_id=new_id("blk", parts.now_ms(), secrets.token_bytes(10)),
        unit=unit.name,
        amount=body.delta,
        source=ADJUSTMENT,
        reason=body.reason,
        expires_at_ms=None if body.expires_at is None else epoch_ms(body.expires_at, "expires_at"),
    )
    try:
        granted = await parts.accounts.grant(customer_id, grant, call.once, _detail(call))
    except InvalidInput as error:
        raise InvalidInput(error.detail, "expires_at") from error
    await parts.history.written(customer_id, granted.entry)
    view = AdjustmentView(
        customer_id=customer_id,
        unit=unit.name,
        delta=granted.amount,
        owed=0,
        block_id=granted.block_id,
        balance=BalanceView.of(balance_of(unit.name, granted.totals), unit),
    )
    return Given(view, 201, granted.replayed)


async def _take(call: Call[AdjustCredits, Nothing]) -> Given[AdjustmentView]:
    body, parts, customer_id = call.body, call.parts, call.customer.customer_id
    unit = parts.unit(body.unit)
    taken = await parts.corrections.take(
        customer_id,
        unit.name,
        -body.delta,
        kind=Kind.ADJUSTMENT,
        owe=body.allow_negative,
        once=call.once,
        detail=_detail(call),
    )
    if isinstance(taken, Short):
        raise Denied(
            RefusalCode.INSUFFICIENT_CREDITS,
            f"{taken.required} base units of {unit.name} should be taken, and {taken.available} are available; "
            "nothing was taken. With allow_negative the rest becomes debt.",
            {"unit": unit.name, "required": taken.required, "available": taken.available},
        )
    await parts.history.written(customer_id, taken.entry)
    view = AdjustmentView(
        customer_id=customer_id,
        unit=unit.name,
        delta=-taken.amount,
        owed=taken.owed,
        block_id=None,
        balance=BalanceView.of(balance_of(unit.name, taken.totals), unit),
    )
    return Given(view, 201, taken.replayed)


def _detail(call: Call[AdjustCredits, Nothing]) -> dict[str, str]:
    reference = call.body.reference_entry_id
    return {**call.detail, "why": call.body.reason, **({} if reference is None else {"reference": reference})}


async def refund_charge(call: Call[RefundCharge, Nothing]) -> Given[RefundedView]:
    """Give back what an entry of the ledger charged, or a part of it.

    It goes back into the blocks that paid, the last of them first; where these are over, it is a new block. All
    refunds of an entry together are at most what it charged. Reports show it as `refunded`. It is answered when it is
    archived.
    """
    body = call.body
    entry = await call.parts.refunding.entry(payer_of(call.customer), body.entry_id)
    expires_at_ms = None if body.expires_at is None else epoch_ms(body.expires_at, "expires_at")
    return await _refund(call, entry, body.credits, body.reason, expires_at_ms)


async def void_usage(call: Call[VoidUsage, Nothing]) -> Given[RefundedView]:
    """Take a usage event back: all that it charged and that was not given back before.

    It goes where a refund goes, and reports show it as `refunded`. It is answered when it is archived.
    """
    entry = await call.parts.refunding.event(call.path["event_id"])
    return await _refund(call, entry, None, call.body.reason, None)


async def _refund(
    call: Call[Body, Nothing], entry: Entry, amount: int | None, reason: str, expires_at_ms: int | None
) -> Given[RefundedView]:
    parts, payer_id = call.parts, entry.customer_id
    rest = Grant(
        block_id=new_id("blk", parts.now_ms(), secrets.token_bytes(10)),
        unit=entry.unit,
        amount=entry.charged or 1,
        source=REFUND,
        reason=reason,
        expires_at_ms=expires_at_ms,
    )
    detail = {**call.detail, "why": reason}
    try:
        refunded = await parts.refunding.refund(entry, amount, rest, call.once, detail)
    except InvalidInput as error:
        raise InvalidInput(error.detail, "expires_at") from error
    if isinstance(refunded, Exceeded):
        raise Conflict(
            f"The entry {entry.entry_id} charged {refunded.most} base units, of which {refunded.refunded} were given "
            "back before: this is more than what is left. Nothing was changed."
        )
    await parts.history.written(payer_id, refunded.entry)
    await parts.merging.follow(payer_id, detail)
    view = RefundedView(
        customer_id=payer_id,
        entry_id=entry.entry_id,
        unit=entry.unit,
        refunded=refunded.amount,
        restored=refunded.restored,
        granted=refunded.granted,
        block_id=refunded.block_id,
        refunded_in_all=refunded.total,
        balance=BalanceView.of(balance_of(entry.unit, refunded.totals), parts.units.get(entry.unit)),
    )
    return Given(view, 201, refunded.replayed)


ENDPOINTS = (
    endpoint(
        "POST",
        f"{BY_ID}/credits/adjust",
        adjust_credits,
        {201: "It is done."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
    endpoint(
        "POST",
        f"{BY_ID}/credits/refund",
        refund_charge,
        {201: "It was given back."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
    endpoint(
        "POST",
        "/v1/usage/{event_id}/void",
        void_usage,
        {201: "It was given back."},
        Repeat.IN_LEDGER,
        scope=Scope.USAGE_WRITE,
    ),
)
