"""Proxy keys of a customer: make one, list them, change what one may do, give one another secret, revoke one."""

import asyncio

import msgspec

from sidecar.control.endpoint import BY_ID, Body, Call, Given, Query, Repeat, endpoint
from sidecar.control.key_schema import ChangeKey, CreateKey, KeyPage, KeyView, NewKeyView, RotateKey
from sidecar.control.pools import payer_of
from sidecar.control.schema import Nothing, Pagination, Paging
from sidecar.control.spend_cap_schema import SetSpendCap, SpendCapTerms, SpendCapView
from sidecar.control.spend_caps import spend_cap
from sidecar.domain.errors import InvalidInput
from sidecar.domain.scopes import Scope
from sidecar.domain.spend_caps import CapScope, CapStand, SpendCap
from sidecar.store.proxy_keys import ProxyKey, new_key_id

BY_KEY = f"{BY_ID}/keys/{{key_id}}"


async def create_key(call: Call[CreateKey, Nothing]) -> Given[NewKeyView]:
    """Make a proxy key. Its secret is in this answer and never again, not even in a replay.

    With limits it may do less than its customer, from its first request on.
    """
    customers, customer_id, now_ms = call.parts.customers, call.customer.customer_id, call.parts.now_ms()
    limits, key_id = call.body.limits(now_ms), new_key_id(now_ms)
    if call.body.spend_cap is not None:
        # Before the key, so that there never is one without its cap.
        await _cap_key(call, key_id, call.body.spend_cap)
    key, secret = await customers.create_key(
        customer_id, name=call.body.name, now_ms=now_ms, limits=limits, key_id=key_id
    )
    return await _with_secret(call, key, secret, 201)


async def list_keys(call: Call[Nothing, Paging]) -> Given[KeyPage]:
    """List the proxy keys of a customer and what they may do, the oldest first, without their secrets."""
    keys = await call.parts.customers.keys(call.customer.customer_id)
    rest = [key for key in keys if key.key_id > (call.query.cursor or "")]
    shown = rest[: call.query.limit]
    next_cursor = shown[-1].key_id if len(rest) > len(shown) else None
    return Given(KeyPage(data=await _views(call, shown), pagination=Pagination.of(next_cursor)))


async def change_key(call: Call[ChangeKey, Nothing]) -> Given[KeyView]:
    """Change a proxy key's name or what it may do: for every request from this moment on."""
    body, now_ms, key_id = call.body, call.parts.now_ms(), call.path["key_id"]
    customer_id = call.customer.customer_id
    key = await call.parts.customers.change_key(customer_id, key_id, lambda key: body.applied_to(key, now_ms))
    if body.spend_cap is not msgspec.UNSET:
        before = [cap for cap in await _caps(call) if cap.of == key_id]
        unit = None
        if body.spend_cap is not None:
            unit = body.spend_cap.unit
            await _cap_key(call, key_id, body.spend_cap)
        await _remove(call, [cap for cap in before if unit in {None, cap.unit}])
    (view,) = await _views(call, [key])
    return Given(view)


async def rotate_key(call: Call[RotateKey, Nothing]) -> Given[NewKeyView]:
    """Give a proxy key another secret, shown this once; the one that it has works for a while beside it.

    Its id, its limits and what was counted for them stay. At most two secrets work: one that was retiring already is
    over now.
    """
    key, secret = await call.parts.customers.rotate_key(
        call.customer.customer_id,
        call.path["key_id"],
        now_ms=call.parts.now_ms(),
        grace_ms=call.body.grace_seconds * 1000,
    )
    return await _with_secret(call, key, secret, 200)


async def revoke_key(call: Call[Nothing, Nothing]) -> Given[KeyView]:
    """Revoke a proxy key. It is refused from this moment on; requests under way are finished and charged.

    Its spend caps go with it.
    """
    key = await call.parts.customers.revoke_key(call.customer.customer_id, call.path["key_id"])
    (view,) = await _views(call, [key])
    await _remove(call, [cap for cap in await _caps(call) if cap.of == key.key_id])
    return Given(view)


async def _stands(call: Call[Body, Query]) -> list[CapStand]:
    """The caps of the customer's keys, and how they stand."""
    customer, caps = call.customer, call.parts.spend_caps
    found = await asyncio.gather(
        *(caps.of(payer_of(customer), customer.customer_id, unit) for unit in call.parts.units)
    )
    return [stand for stands in found for stand in stands if stand.cap.scope is CapScope.KEY]


async def _caps(call: Call[Body, Query]) -> list[SpendCap]:
    return [stand.cap for stand in await _stands(call)]


async def _cap_key(call: Call[Body, Query], key_id: str, terms: SpendCapTerms) -> None:
    call.parts.unit(terms.unit)
    wanted = SetSpendCap(**msgspec.structs.asdict(terms), scope=CapScope.KEY, key_id=key_id)
    try:
        cap = spend_cap(wanted, call.parts.now_ms())
    except InvalidInput as error:
        raise InvalidInput(error.detail, f"spend_cap.{error.field}") from error
    await call.parts.spend_caps.add(payer_of(call.customer), call.customer.customer_id, cap)


async def _remove(call: Call[Body, Query], caps: list[SpendCap]) -> None:
    customer = call.customer
    for cap in caps:
        await call.parts.spend_caps.remove(payer_of(customer), customer.customer_id, cap.unit, cap.cap_id)


async def _views(call: Call[Body, Query], keys: list[ProxyKey]) -> list[KeyView]:
    views: dict[str, list[SpendCapView]] = {}
    for stand in await _stands(call):
        view = SpendCapView.of(call.customer, stand, call.parts.units[stand.cap.unit])
        views.setdefault(stand.cap.of, []).append(view)
    return [KeyView.of(key, views.get(key.key_id, []), call.parts.now_ms()) for key in keys]


async def _with_secret(call: Call[Body, Query], key: ProxyKey, secret: str, status: int) -> Given[NewKeyView]:
    (plain,) = await _views(call, [key])
    view = NewKeyView.showing(plain, secret)
    return Given(view, status, remembered=view.without_secret())


ENDPOINTS = (
    endpoint(
        "POST",
        f"{BY_ID}/keys",
        create_key,
        {201: "The key and, this once, its secret."},
        Repeat.RECORDED,
        scope=Scope.KEYS_WRITE,
    ),
    endpoint("GET", f"{BY_ID}/keys", list_keys, {200: "One page of keys."}, scope=Scope.KEYS_READ),
    endpoint("PATCH", BY_KEY, change_key, {200: "The key as it is now."}, Repeat.RECORDED, scope=Scope.KEYS_WRITE),
    endpoint(
        "POST",
        f"{BY_KEY}/rotate",
        rotate_key,
        {200: "The key and, this once, its new secret."},
        Repeat.RECORDED,
        scope=Scope.KEYS_WRITE,
    ),
    endpoint(
        "DELETE", BY_KEY, revoke_key, {200: "The key that was revoked."}, Repeat.RECORDED, scope=Scope.KEYS_WRITE
    ),
)
