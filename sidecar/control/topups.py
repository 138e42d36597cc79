"""Top-ups: credit that somebody has paid for elsewhere. We take no money; who does says what was bought."""

import secrets

from msgspec import UNSET
from msgspec.structs import replace

from sidecar.control.credit_schema import BalanceView, GrantDisplay
from sidecar.control.endpoint import BY_ID, Call, Given, Parts, Repeat, endpoint
from sidecar.control.packages import package_of
from sidecar.control.pools import refuse_member
from sidecar.control.schema import Nothing, Pagination, Paging, epoch_ms
from sidecar.control.topup_schema import GrantTopup, RefundTopup, RefundView, TopupPage, TopupStateView, TopupView
from sidecar.domain.amounts import render
from sidecar.domain.auto_topups import TopupRequest, dedup_key
from sidecar.domain.blocks import Grant, bonus_id
from sidecar.domain.customers import Customer
from sidecar.domain.errors import Conflict, InvalidInput, NotFound
from sidecar.domain.history import BlockSums
from sidecar.domain.ids import new_id
from sidecar.domain.outcomes import Overrun
from sidecar.domain.scopes import Scope
from sidecar.domain.topups import TOPUP, Package, bought, checked_package, is_topup, topup_id
from sidecar.store.accounts import balance_of

_TRIES = 5
_WIRE_NAMES = {"amount": "credits", "bonus": "bonus_credits", "expires_at_ms": "expires_at"}


async def grant_topup(call: Call[GrantTopup, Nothing]) -> Given[TopupView]:
    """Give a customer what it has paid for; with it, perhaps, a bonus, which is a free block of its own.

    A customer that is named by your id and is not there is made. The same `external_payment_id` again changes
    nothing, and is answered with what it bought the first time. It is answered when it is archived.
    """
    parts, request = call.parts, await _requested(call)
    body = call.body if request is None else _asked_for(call.body, request)
    unit, package = parts.unit(body.unit), None
    if body.package_id is not None:
        known = package_of(parts.catalogue, body.package_id)
        package = checked_package(known, body.package_id, unit=unit.name, amount=body.credits)
    grant = _grant(body, package, new_id("blk", parts.now_ms(), secrets.token_bytes(10)))
    customer, created = await _customer(call)
    refuse_member(customer)
    if request is not None and request.customer_id != customer.customer_id:
        raise Conflict(f"{request.request_id} is a request of {request.customer_id}.")
    try:
        granted = await parts.accounts.grant(customer.customer_id, grant, call.once, call.detail)
    except InvalidInput as error:
        raise InvalidInput(error.detail, _WIRE_NAMES.get(error.field or "", error.field)) from error
    await parts.history.written(customer.customer_id, granted.entry)
    assert granted.block_id is not None, "nothing is withheld from a top-up"
    bonus_block_id = bonus_id(granted.block_id) if grant.bonus else None
    view = TopupView(
        topup_id=topup_id(customer.customer_id, granted.block_id),
        customer_id=customer.customer_id,
        external_id=customer.external_id,
        customer_created=created,
        block_id=granted.block_id,
        bonus_block_id=bonus_block_id,
        unit=unit.name,
        granted=granted.amount,
        bonus=grant.bonus,
        package_id=grant.package_id,
        external_payment_id=grant.external_payment_id,
        duplicate=granted.duplicate,
        display=GrantDisplay(granted=render(granted.amount, unit), withheld=render(0, unit)),
        balance=BalanceView.of(balance_of(unit.name, granted.totals), unit),
    )
    return Given(view, 200 if granted.duplicate else 201, granted.replayed)


async def show_topup(call: Call[Nothing, Nothing]) -> Given[TopupStateView]:
    """Look at a top-up: what was bought, what is left of it, what went back."""
    customer_id, block_id = bought(call.path["topup_id"])
    return Given(TopupStateView.of(customer_id, await _known(call.parts, customer_id, block_id)))


async def list_topups(call: Call[Nothing, Paging]) -> Given[TopupPage]:
    """List what a customer has paid for, the newest first. It has every top-up that was answered."""
    customer_id = call.customer.customer_id
    cursor = None if call.query.cursor is UNSET else call.query.cursor
    page = await call.parts.history.topups(customer_id, cursor, call.query.limit)
    views = [TopupStateView.of(customer_id, sums) for sums in page.items]
    return Given(TopupPage(data=views, pagination=Pagination.of(page.next_cursor)))


async def _known(parts: Parts, customer_id: str, block_id: str) -> BlockSums:
    known = await parts.history.block(customer_id, block_id)
    if known is None or not is_topup(known.grant):
        raise NotFound("There is no such top-up.")
    return known


async def refund_topup(call: Call[RefundTopup, Nothing]) -> Given[RefundView]:
    """Take a top-up back whose money went back: what is left of it is voided, bonus included.

    What was spent of it is taken out of other credit, and is debt then, or is let go. With `credits` only so much is
    taken, out of its block first. What requests under way hold can still be charged. It is answered when it is
    archived.
    """
    parts, (customer_id, block_id) = call.parts, bought(call.path["topup_id"])
    overrun = Overrun.OWE if call.body.spent == "debt" else Overrun.CAP
    for _ in range(_TRIES):
        known = await _known(parts, customer_id, block_id)
        taken = await parts.accounts.take_back(
            customer_id, block_id, known, call.body.credits, call.once, call.detail, overrun=overrun
        )
        if taken is not None:
            break
    else:
        raise Conflict("The top-up is being spent while it is looked at; ask again.")
    await parts.history.written(customer_id, taken.entry)
    await parts.merging.follow(customer_id, call.detail)
    view = RefundView(
        topup_id=call.path["topup_id"],
        customer_id=customer_id,
        unit=known.unit,
        voided=taken.voided,
        charged=taken.charged,
        owed=taken.owed,
        unrecoverable=taken.uncollected,
        balance=BalanceView.of(balance_of(known.unit, taken.totals), parts.units.get(known.unit)),
    )
    return Given(view, replayed=taken.replayed)


async def _requested(call: Call[GrantTopup, Nothing]) -> TopupRequest | None:
    request_id = call.body.auto_topup_request_id
    return None if request_id is None else await call.parts.watching.topup_request(request_id)


def _asked_for(body: GrantTopup, request: TopupRequest) -> GrantTopup:
    """The body, with the package of the request where it does not say what was bought."""
    if body.unit != request.unit:
        raise InvalidInput(f"{request.request_id} is a request for {request.unit}, not for {body.unit}.", "unit")
    if body.package_id is None and body.credits is None:
        return replace(body, package_id=request.package_id)
    return body


async def _customer(call: Call[GrantTopup, Nothing]) -> tuple[Customer, bool]:
    body, customers = call.body, call.parts.customers
    if (body.customer_id is None) == (body.external_customer_id is None):
        raise InvalidInput("Name the customer by one of customer_id and external_customer_id.", "customer_id")
    if body.customer_id is not None:
        return await customers.get(body.customer_id), False
    assert body.external_customer_id is not None, "one of them is there"
    return await customers.create(external_id=body.external_customer_id, now_ms=call.parts.now_ms())


def _grant(body: GrantTopup, package: Package | None, block_id: str) -> Grant:
    """What is bought, in the ledger's words: what the body says, then what the package does."""
    if package is None and body.credits is None:
        raise InvalidInput("Give credits or package_id: what was bought.", "credits")
    if body.expires_at is not None and body.expires_in_seconds is not None:
        raise InvalidInput("Give one of expires_at and expires_in_seconds.", "expires_in_seconds")
    if body.price_paid is not None and body.currency is None:
        raise InvalidInput("price_paid needs a currency, such as EUR.", "currency")
    lasting_s = body.expires_in_seconds
    if package is not None and body.expires_at is None and lasting_s is None:
        lasting_s = package.expires_after_s
    sold = package or Package(unit=body.unit, credits=body.credits or 0, price=0, currency="")
    paid_by_package = package is not None and body.price_paid is None
    return Grant(
        block_id=block_id,
        unit=body.unit,
        amount=sold.credits,
        source=TOPUP,
        reason=body.reason,
        priority=sold.priority if body.priority is None else body.priority,
        expires_at_ms=None if body.expires_at is None else epoch_ms(body.expires_at, "expires_at"),
        duration_ms=None if lasting_s is None else lasting_s * 1000,
        price_paid=sold.price if paid_by_package else body.price_paid,
        currency=sold.currency if paid_by_package else body.currency,
        wallet=body.wallet or "",
        metadata=body.metadata,
        external_payment_id=body.external_payment_id,
        package_id=body.package_id,
        # A request is fulfilled once, however often somebody says so.
        dedup_key=None if body.auto_topup_request_id is None else dedup_key(body.auto_topup_request_id),
        auto_topup_request_id=body.auto_topup_request_id,
        bonus=sold.bonus_credits if body.bonus_credits is None else body.bonus_credits,
    )


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/topup/grant",
        grant_topup,
        {201: "It was granted.", 200: "Its payment was used before: nothing changed."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
    endpoint("GET", "/v1/topup/{topup_id}", show_topup, {200: "The top-up."}, scope=Scope.CREDITS_READ),
    endpoint("GET", f"{BY_ID}/topups", list_topups, {200: "One page of top-ups."}, scope=Scope.CREDITS_READ),
    endpoint(
        "POST",
        "/v1/topup/{topup_id}/refund",
        refund_topup,
        {200: "It was taken back."},
        Repeat.IN_LEDGER,
        scope=Scope.CREDITS_WRITE,
    ),
)
