"""Transfers: credit that one customer gives to another, on the terms on which it had it."""

import secrets

from msgspec import UNSET

from sidecar.control.credit_schema import BalanceView
from sidecar.control.endpoint import BY_ID, Call, Given, Parts, Repeat, endpoint
from sidecar.control.pools import refuse_member
from sidecar.control.schema import Nothing
from sidecar.control.transfer_schema import TransferCredits, TransferredBlock, TransferView
from sidecar.control.whose import Whose, customer_of
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Denied, InvalidInput
from sidecar.domain.ids import new_id
from sidecar.domain.outcomes import RefusalCode, Sent, Short
from sidecar.domain.scopes import Scope
from sidecar.domain.transfers import CODE, Way, arriving_block_id
from sidecar.store.accounts import balance_of


async def transfer_credits(call: Call[TransferCredits, Nothing]) -> Given[TransferView]:
    """Give some of a customer's credit to another customer.

    It is taken out of the blocks in burn order, whatever they are restricted to, but not out of what is held. What
    comes out of each becomes a block of the other customer, with its expiry, priority and restriction. It is answered
    when both sides are archived.
    """
    body, parts, giver = call.body, call.parts, call.customer
    unit, receiver = parts.unit(body.unit), await _receiver(call)
    for customer in (giver, receiver):
        refuse_member(customer)
    if receiver.customer_id == giver.customer_id:
        raise InvalidInput("A customer cannot give credit to itself.", "to_customer_id")
    way = Way(
        transfer_id=new_id(CODE, parts.now_ms(), secrets.token_bytes(10)),
        from_id=giver.customer_id,
        to_id=receiver.customer_id,
        unit=unit.name,
        reason=body.reason,
        detail=dict(call.detail),
    )
    detail = {**call.detail, "counterparty": way.to_id, **({"why": body.reason} if body.reason else {})}
    sent = await parts.transferring.send(way, body.credits, call.once, detail)
    if isinstance(sent, Short):
        raise Denied(
            RefusalCode.INSUFFICIENT_CREDITS,
            f"{sent.required} base units of {unit.name} should be given, and {sent.available} are available; nothing "
            "was taken.",
            {"unit": unit.name, "required": sent.required, "available": sent.available},
        )
    return await _given(parts, way, sent)


async def _receiver(call: Call[TransferCredits, Nothing]) -> Customer:
    body = call.body
    whose = Whose(customer_id=body.to_customer_id, external_customer_id=body.to_external_customer_id)
    try:
        return await customer_of(call.parts, whose)
    except InvalidInput as error:
        if body.to_customer_id is not UNSET and body.to_external_customer_id is UNSET:
            raise
        raise InvalidInput(
            "Say who gets it by `to_customer_id` or by `to_external_customer_id`: one of both.", "to_customer_id"
        ) from error


async def _given(parts: Parts, way: Way, sent: Sent) -> Given[TransferView]:
    taken = sent.taken
    waits = await parts.transferring.on_its_way(way.from_id, sent.transfer_id)
    await parts.history.written(way.from_id, taken.entry)
    if not waits:
        await parts.history.everything_of(way.to_id)
    unit = parts.unit(way.unit)
    view = TransferView(
        transfer_id=sent.transfer_id,
        customer_id=way.from_id,
        to_customer_id=way.to_id,
        unit=unit.name,
        transferred=taken.amount,
        blocks=[
            TransferredBlock(block_id=arriving_block_id(sent.transfer_id, index), amount=slice_.amount)
            for index, slice_ in enumerate(taken.slices, 1)
        ],
        state="on_its_way" if waits else "arrived",
        balance=BalanceView.of(balance_of(unit.name, taken.totals), unit),
    )
    return Given(view, 201, taken.replayed)


ENDPOINTS = (
    endpoint(
        "POST",
        f"{BY_ID}/credits/transfer",
        transfer_credits,
        {201: "It was given."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
)
