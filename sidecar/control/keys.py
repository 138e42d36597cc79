"""Proxy keys of a customer: make one, list them, revoke one."""

from sidecar.control.endpoint import BY_ID, Call, Given, Repeat, endpoint
from sidecar.control.schema import CreateKey, KeyPage, KeyView, NewKeyView, Nothing, Pagination, Paging
from sidecar.domain.scopes import Scope


async def create_key(call: Call[CreateKey, Nothing]) -> Given[NewKeyView]:
    """Make a proxy key. Its secret is in this answer and never again, not even in a replay."""
    key, secret = await call.parts.customers.create_key(
        call.customer.customer_id, name=call.body.name, now_ms=call.parts.now_ms()
    )
    view = NewKeyView.showing(key, secret)
    return Given(view, 201, remembered=view.without_secret())


async def list_keys(call: Call[Nothing, Paging]) -> Given[KeyPage]:
    """List the proxy keys of a customer, the oldest first, without their secrets."""
    keys = sorted(await call.parts.customers.keys(call.customer.customer_id), key=lambda key: key.key_id)
    rest = [key for key in keys if key.key_id > (call.query.cursor or "")]
    shown = rest[: call.query.limit]
    next_cursor = shown[-1].key_id if len(rest) > len(shown) else None
    return Given(KeyPage(data=[KeyView.of(key) for key in shown], pagination=Pagination.of(next_cursor)))


async def revoke_key(call: Call[Nothing, Nothing]) -> Given[KeyView]:
    """Revoke a proxy key. It is refused from this moment on; requests under way are finished and charged."""
    return Given(KeyView.of(await call.parts.customers.revoke_key(call.customer.customer_id, call.path["key_id"])))


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
    endpoint(
        "DELETE",
        f"{BY_ID}/keys/{{key_id}}",
        revoke_key,
        {200: "The key that was revoked."},
        Repeat.RECORDED,
        scope=Scope.KEYS_WRITE,
    ),
)
