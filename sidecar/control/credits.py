"""Credit: give it, look at what is left, and the units it is counted in."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

import msgspec
from msgspec import UNSET

from sidecar.control.credit_schema import (
    BalanceView,
    CreditsQuery,
    CreditsView,
    GrantCredits,
    GrantDisplay,
    GrantView,
    UnitPage,
    UnitView,
    WalletView,
)
from sidecar.control.endpoint import BY_ID, Call, Given, Repeat, Stranger, endpoint
from sidecar.control.pools import payer_of, refuse_member, shares_of
from sidecar.control.schema import Nothing, Pagination, epoch_ms
from sidecar.domain.amounts import render
from sidecar.domain.blocks import Grant
from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import new_id
from sidecar.domain.scopes import Scope
from sidecar.store.accounts import balance_of

_WIRE_NAMES: Mapping[str | None, str] = MappingProxyType(
    {"amount": "credits", "starts_at_ms": "starts_at", "expires_at_ms": "expires_at"}
)


async def grant_credits(call: Call[GrantCredits, Nothing]) -> Given[GrantView]:
    """Give a customer a credit block.

    A customer that is named by your id and is not there is made. What the customer owes in this unit is repaid first,
    when the block starts. It is answered when it is archived. A replay answers the balance of the first time.
    """
    customer = call.customer
    refuse_member(customer)
    unit = call.parts.unit(call.body.unit)
    block_id = new_id("blk", call.parts.now_ms(), secrets.token_bytes(10))
    try:
        granted = await call.parts.accounts.grant(
            customer.customer_id, _terms(call.body, block_id), call.once, call.detail
        )
    except InvalidInput as error:
        raise InvalidInput(error.detail, _WIRE_NAMES.get(error.field, error.field)) from error
    await call.parts.history.written(customer.customer_id, granted.entry)
    view = GrantView(
        block_id=granted.block_id,
        customer_id=customer.customer_id,
        external_id=customer.external_id,
        unit=unit.name,
        granted=granted.amount,
        withheld=granted.withheld,
        duplicate=granted.duplicate,
        display=GrantDisplay(granted=render(granted.amount, unit), withheld=render(granted.withheld, unit)),
        balance=BalanceView.of(balance_of(unit.name, granted.totals), unit),
    )
    made = granted.block_id is not None and not granted.duplicate
    return Given(view, 201 if made else 200, granted.replayed)


async def show_credits(call: Call[Nothing, CreditsQuery]) -> Given[CreditsView]:
    """Look at the balances of a customer, one for each unit it was ever granted; now or at some time.

    A member of a pool is shown its parent's balances, and its own share of them.
    """
    customer, query, parts = call.customer, call.query, call.parts
    payer_id = payer_of(customer)
    for name in ("include_blocks", "include_wallets"):
        if query.at is not None and getattr(query, name):
            raise InvalidInput(f"Blocks and wallets are shown as they are now: leave out `at` or `{name}`.", name)
    view = CreditsView(
        customer_id=customer.customer_id,
        external_id=customer.external_id,
        payer_customer_id=payer_id,
        balances=[],
    )
    accounts = await parts.accounts.accounts(payer_id)
    if query.at is not None:
        return Given(msgspec.structs.replace(view, balances=await _balances_at(call, query.at), at=query.at))
    balances = []
    for account in accounts:
        unit = parts.units.get(account.unit)
        balance = BalanceView.of(balance_of(account.unit, account.totals), unit)
        if query.include_wallets:
            balance = msgspec.structs.replace(balance, wallets=WalletView.all_of(account.blocks, unit))
        balances.append(balance.with_blocks(account.blocks, unit) if query.include_blocks else balance)
    shares = await shares_of(call, [account.unit for account in accounts]) if customer.parent_id else UNSET
    return Given(msgspec.structs.replace(view, balances=balances, shares=shares))


async def _balances_at(call: Call[Nothing, CreditsQuery], at: datetime) -> list[BalanceView]:
    """Those of who pays; the ledger has every change of them, but not what was held in between."""
    at_ms = epoch_ms(at, "at")
    if at_ms > call.parts.now_ms():
        raise InvalidInput("`at` must not be in the future: what will be is not in the ledger.", "at")
    totals = await call.parts.history.totals_at(payer_of(call.customer), at_ms)
    return [
        BalanceView.of(balance_of(unit, each), call.parts.units.get(unit)) for unit, each in sorted(totals.items())
    ]


async def list_units(call: Call[Nothing, Nothing]) -> Given[UnitPage]:
    """List the units that credit can be counted in, and the decimal places of each."""
    units = [UnitView(unit=unit.name, scale=unit.scale) for unit in call.parts.units.values()]
    return Given(UnitPage(data=units, pagination=Pagination.of(None)))


def _terms(wanted: GrantCredits, block_id: str) -> Grant:
    """The grant in the ledger's words. InvalidInput for terms that contradict each other."""
    _exclude(wanted, "expires_at", "expires_in_seconds", "duration_seconds")
    _exclude(wanted, "starts_at", "starts_after_block_id")
    _exclude(wanted, "starts_at", "expires_in_seconds")
    _exclude(wanted, "starts_after_block_id", "expires_at", "expires_in_seconds")
    lasting_s = wanted.expires_in_seconds or wanted.duration_seconds
    return Grant(
        block_id=block_id,
        unit=wanted.unit,
        amount=wanted.credits,
        source=wanted.source,
        reason=wanted.reason,
        priority=wanted.priority,
        starts_at_ms=None if wanted.starts_at is None else epoch_ms(wanted.starts_at, "starts_at"),
        expires_at_ms=None if wanted.expires_at is None else epoch_ms(wanted.expires_at, "expires_at"),
        duration_ms=None if lasting_s is None else lasting_s * 1000,
        starts_after_block_id=wanted.starts_after_block_id,
        price_paid=wanted.price_paid,
        currency=wanted.currency,
        eligible_features=tuple(dict.fromkeys(wanted.eligible_features)),
        eligible_rules=tuple(dict.fromkeys(wanted.eligible_rules)),
        wallet=wanted.wallet or "",
        series=wanted.series or "",
        cap=wanted.cap,
        metadata=wanted.metadata,
        dedup_key=wanted.dedup_key,
        external_payment_id=wanted.external_payment_id,
    )


def _exclude(wanted: GrantCredits, *names: str) -> None:
    given = [name for name in names if getattr(wanted, name) is not None]
    if len(given) > 1:
        raise InvalidInput(
            f"{' and '.join(given)} contradict each other: give one of them. `duration_seconds` counts from the "
            "block's start, whenever that is.",
            given[1],
        )


ENDPOINTS = (
    endpoint(
        "POST",
        f"{BY_ID}/credits/grant",
        grant_credits,
        {
            201: "The block was made.",
            200: "Its business key was used before, or the cap withheld everything: nothing changed.",
        },
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
        stranger=Stranger.MADE,
    ),
    endpoint("GET", f"{BY_ID}/credits", show_credits, {200: "The balances."}, scope=Scope.CREDITS_READ),
    endpoint("GET", "/v1/units", list_units, {200: "The units."}, scope=Scope.CREDITS_READ),
)
