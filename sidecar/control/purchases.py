"""Purchases: a block that a customer buys out of its own credit, such as a pack out of its wallet."""

import hashlib
import secrets

import msgspec

from sidecar.control.endpoint import Call, Given, Repeat, endpoint
from sidecar.control.pools import refuse_member
from sidecar.control.purchase_schema import MakePurchase, PurchaseView
from sidecar.control.schema import Nothing, epoch_ms, said
from sidecar.control.whose import customer_of
from sidecar.domain.blocks import Grant, Purchase
from sidecar.domain.errors import Denied, InvalidInput
from sidecar.domain.ids import new_id
from sidecar.domain.outcomes import RefusalCode, Short
from sidecar.domain.scopes import Scope

_WIRE_NAMES = {"amount": "grant.credits", "expires_at_ms": "grant.expires_at"}


async def make_purchase(call: Call[MakePurchase, Nothing]) -> Given[PurchaseView]:
    """Take credit from a customer and give it a block for that, or do neither.

    It is taken out of the blocks in burn order, of one wallet if that is said, whatever they are restricted to. The
    same `purchase_id` again changes nothing, and is answered with what it bought; on other terms it is refused. It is
    answered when it is archived.
    """
    body, parts = call.body, call.parts
    customer = await customer_of(parts, body, merged=True)
    refuse_member(customer)
    for unit in (body.price.unit, body.grant.unit):
        parts.unit(unit)
    grant = _grant(call, customer.customer_id)
    detail = {**call.detail, **({"why": body.reason} if body.reason else {})}
    try:
        bought = await parts.purchases.buy(customer.customer_id, grant, call.once, detail)
    except InvalidInput as error:
        raise InvalidInput(error.detail, _WIRE_NAMES.get(error.field or "", error.field)) from error
    if isinstance(bought, Short):
        where = "" if body.price.wallet is None else f" in the wallet {body.price.wallet!r}"
        raise Denied(
            RefusalCode.INSUFFICIENT_CREDITS,
            f"It costs {bought.required} base units of {body.price.unit}; {bought.available} are available{where}. "
            "Nothing was bought.",
            {"unit": body.price.unit, "required": bought.required, "available": bought.available},
        )
    await parts.history.written(customer.customer_id, bought.entry)
    view = PurchaseView(
        purchase_id=body.purchase_id,
        customer_id=customer.customer_id,
        external_id=customer.external_id,
        debited=body.price.credits,
        debit_unit=body.price.unit,
        block_id=bought.block_id,
        granted=body.grant.credits,
        unit=body.grant.unit,
        duplicate=bought.duplicate,
    )
    return Given(view, 200 if bought.duplicate else 201, bought.replayed)


def _grant(call: Call[MakePurchase, Nothing], customer_id: str) -> Grant:
    body, wanted = call.body, call.body.grant
    if wanted.expires_at is not None and wanted.expires_in_seconds is not None:
        raise InvalidInput("Give one of expires_at and expires_in_seconds.", "grant.expires_in_seconds")
    asked = customer_id.encode() + msgspec.json.encode(said((body.price, wanted)), order="sorted")
    return Grant(
        block_id=new_id("blk", call.parts.now_ms(), secrets.token_bytes(10)),
        unit=wanted.unit,
        amount=wanted.credits,
        source=wanted.source,
        reason=body.reason,
        priority=wanted.priority,
        expires_at_ms=None if wanted.expires_at is None else epoch_ms(wanted.expires_at, "grant.expires_at"),
        duration_ms=None if wanted.expires_in_seconds is None else wanted.expires_in_seconds * 1000,
        eligible_features=tuple(dict.fromkeys(wanted.eligible_features)),
        eligible_rules=tuple(dict.fromkeys(wanted.eligible_rules)),
        wallet=wanted.wallet or "",
        metadata=wanted.metadata,
        purchase=Purchase(
            purchase_id=body.purchase_id,
            unit=body.price.unit,
            amount=body.price.credits,
            wallet=body.price.wallet or "",
            terms=hashlib.sha256(asked).hexdigest(),
        ),
    )


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/wallet/purchase",
        make_purchase,
        {201: "It was bought.", 200: "It was bought before, by this id: nothing changed."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
)
