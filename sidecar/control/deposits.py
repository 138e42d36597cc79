"""Deposit, spend, look: three calls for whoever needs no more. They are grants, usage and balances by other names.

An account is a customer by the operator's own id, a resource is a unit; both are there with the first deposit.
"""

import hashlib
import secrets

import msgspec

from sidecar.control.deposit_schema import AccountView, Deposit, Spend, TransactionView
from sidecar.control.endpoint import Call, Given, Parts, Repeat, endpoint
from sidecar.control.pools import payer_of, refuse_member
from sidecar.control.schema import Nothing
from sidecar.domain.blocks import Grant
from sidecar.domain.costs import Cost
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Denied
from sidecar.domain.ids import new_id
from sidecar.domain.journal import Totals
from sidecar.domain.notes import Note
from sidecar.domain.outcomes import Balance, RefusalCode
from sidecar.domain.scopes import Scope
from sidecar.services.usage import Event
from sidecar.store.accounts import balance_of
from sidecar.store.keys import checked_unit

DEPOSIT = "deposit"


async def deposit(call: Call[Deposit, Nothing]) -> Given[TransactionView]:
    """Add to an account. Who is not there yet is made. It is answered when it is archived."""
    body, parts = call.body, call.parts
    customer, _ = await parts.customers.create(external_id=body.account_id, now_ms=parts.now_ms())
    refuse_member(customer)
    grant = Grant(
        block_id=new_id("blk", parts.now_ms(), secrets.token_bytes(10)),
        unit=body.resource_type,
        amount=body.amount,
        source=DEPOSIT,
        metadata=body.metadata,
    )
    granted = await parts.accounts.grant(customer.customer_id, grant, call.once, call.detail)
    await parts.history.written(customer.customer_id, granted.entry)
    balance = balance_of(body.resource_type, granted.totals)
    return Given(_view(body, balance, str(granted.block_id)), 201, granted.replayed)


async def spend(call: Call[Spend, Nothing]) -> Given[TransactionView]:
    """Take from an account: all of the amount, or nothing where there is less (402). It is a usage event."""
    body, parts = call.body, call.parts
    customer = await parts.customers.find(body.account_id)
    if customer is None:
        raise Denied(
            RefusalCode.INSUFFICIENT_CREDITS,
            f"{body.amount} of {body.resource_type} are asked for, and nothing was ever deposited there.",
            {"unit": body.resource_type, "required": body.amount, "available": 0},
        )
    event_id = f"spend-{hashlib.sha256(call.once.key.encode()).hexdigest()}"
    event = Event(
        event_id=event_id,
        fingerprint=call.once.fingerprint,
        customer=customer,
        cost=Cost(unit=body.resource_type, amount=body.amount, feature=""),
        note=Note.of(body.metadata, call.detail, None),
    )
    await parts.usage.charge(event)
    return Given(_view(body, await _balance(parts, customer, body.resource_type), event_id))


async def show_balance(call: Call[Nothing, Nothing]) -> Given[AccountView]:
    """Look at an account; one that is not there has nothing."""
    account_id, unit = call.path["account_id"], checked_unit(call.path["resource_type"])
    customer = await call.parts.customers.find(account_id)
    balance = balance_of(unit, Totals()) if customer is None else await _balance(call.parts, customer, unit)
    return Given(AccountView.of(account_id, balance))


async def _balance(parts: Parts, customer: Customer, unit: str) -> Balance:
    return balance_of(unit, (await parts.accounts.account(payer_of(customer), unit)).totals)


def _view(body: Deposit, balance: Balance, transaction_id: str) -> TransactionView:
    account = msgspec.structs.asdict(AccountView.of(body.account_id, balance))
    return TransactionView(**account, amount=body.amount, transaction_id=transaction_id)


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/deposit",
        deposit,
        {201: "It was added."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
    endpoint("POST", "/v1/spend", spend, {200: "It was taken."}, Repeat.REQUIRED, scope=Scope.USAGE_WRITE),
    endpoint(
        "GET",
        "/v1/balance/{account_id}/{resource_type}",
        show_balance,
        {200: "The account."},
        scope=Scope.CREDITS_READ,
    ),
)
