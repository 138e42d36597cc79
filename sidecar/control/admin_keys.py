"""Control keys: make one, list them, give one a new secret, revoke one. Each environment knows only its own."""

from sidecar.control.admin_schema import (
    ControlKeyPage,
    ControlKeyView,
    CreateControlKey,
    NewControlKeyView,
    RotateControlKey,
)
from sidecar.control.endpoint import Body, Call, Given, Query, Repeat, endpoint
from sidecar.control.errors import InsufficientScope
from sidecar.control.schema import Nothing, Pagination, Paging, epoch_ms
from sidecar.domain.control_keys import LEAST, ControlKey, Principal
from sidecar.domain.errors import InvalidInput
from sidecar.domain.scopes import ALL, Scope

PATH = "/v1/admin/api-keys"


async def create_control_key(call: Call[CreateControlKey, Nothing]) -> Given[NewControlKeyView]:
    """Make a control key. Its secret is in this answer and never again, not even in a replay.

    It may do no more than the key that makes it. Other processes know it within half a second.
    """
    wanted, maker = call.body, call.principal
    environment = wanted.environment or maker.environment
    if maker.environment not in {environment, "live"}:
        raise InvalidInput("A key of test makes keys of test only.", "environment")
    key, secret = await call.parts.control_keys.make(
        maker.tenant,
        environment,
        name=wanted.name,
        scopes=scopes_for(maker, wanted.scopes),
        created_by=maker.key_id,
        expires_at_ms=expiry(call.parts.real_now_ms(), wanted),
    )
    return _shown(call, key, secret, 201)


async def list_control_keys(call: Call[Nothing, Paging]) -> Given[ControlKeyPage]:
    """List the control keys of this environment, the oldest first, those that were revoked too."""
    asked_by = call.principal
    keys = call.parts.control_keys.all(asked_by.tenant, asked_by.environment)
    rest = [key for key in keys if key.key_id > (call.query.cursor or "")]
    shown = rest[: call.query.limit]
    next_cursor = shown[-1].key_id if len(rest) > len(shown) else None
    return Given(ControlKeyPage(data=[_view(call, key) for key in shown], pagination=Pagination.of(next_cursor)))


async def rotate_control_key(call: Call[RotateControlKey, Nothing]) -> Given[NewControlKeyView]:
    """Give a control key a new secret, shown this once; the one that it has works for a while beside it.

    At most two secrets work: one that was retiring already is over now. A key can rotate only what may do no more
    than itself.
    """
    asked_by, keys = call.principal, call.parts.control_keys
    key = keys.get(call.path["key_id"], asked_by.tenant, asked_by.environment)
    if missing := [scope for scope in key.scopes if not asked_by.may(scope)]:
        raise InsufficientScope(missing)
    grace_ms = call.body.grace_seconds * 1000
    key, secret = await keys.rotate(key.key_id, asked_by.tenant, asked_by.environment, grace_ms=grace_ms)
    return _shown(call, key, secret, 200)


async def revoke_control_key(call: Call[Nothing, Nothing]) -> Given[ControlKeyView]:
    """Revoke a control key, with all of its secrets. Every process refuses it within a second."""
    asked_by = call.principal
    key = await call.parts.control_keys.revoke(call.path["key_id"], asked_by.tenant, asked_by.environment)
    return Given(_view(call, key))


def scopes_for(maker: Principal, wanted: list[str] | None) -> tuple[str, ...]:
    """The scopes of a new key: InsufficientScope for what its maker may not do."""
    if wanted is None:
        return tuple(scope for scope in LEAST if maker.may(scope))
    if any(scope not in {ALL, *Scope} for scope in wanted):
        raise InvalidInput(f"There is no such scope; there are {ALL}, {', '.join(Scope)}.", "scopes")
    if missing := [scope for scope in wanted if not maker.may(scope)]:
        raise InsufficientScope(missing)
    return tuple(wanted)


def expiry(now_ms: int, wanted: CreateControlKey) -> int | None:
    """When a new key ends; None: never."""
    if wanted.expires_at is not None and wanted.expires_in_seconds is not None:
        raise InvalidInput("Give expires_at or expires_in_seconds, not both.", "expires_in_seconds")
    if wanted.expires_in_seconds is not None:
        return now_ms + wanted.expires_in_seconds * 1000
    if wanted.expires_at is None:
        return None
    expires_at_ms = epoch_ms(wanted.expires_at, "expires_at")
    if expires_at_ms <= now_ms:
        raise InvalidInput("expires_at must lie ahead.", "expires_at")
    return expires_at_ms


def _view(call: Call[Body, Query], key: ControlKey) -> ControlKeyView:
    return ControlKeyView.of(key, call.parts.control_keys.last_used_at_ms(key.key_id), call.parts.real_now_ms())


def _shown(call: Call[Body, Query], key: ControlKey, secret: str, status: int) -> Given[NewControlKeyView]:
    view = NewControlKeyView.showing(_view(call, key), secret)
    return Given(view, status, remembered=view.without_secret())


ENDPOINTS = (
    endpoint(
        "POST",
        PATH,
        create_control_key,
        {201: "The key and, this once, its secret."},
        Repeat.RECORDED,
        scope=Scope.ADMIN_WRITE,
    ),
    endpoint("GET", PATH, list_control_keys, {200: "One page of keys."}, scope=Scope.ADMIN_READ),
    endpoint(
        "POST",
        f"{PATH}/{{key_id}}/rotate",
        rotate_control_key,
        {200: "The key and, this once, its new secret."},
        Repeat.RECORDED,
        scope=Scope.ADMIN_WRITE,
    ),
    endpoint(
        "POST",
        f"{PATH}/{{key_id}}/revoke",
        revoke_control_key,
        {200: "The key that was revoked."},
        Repeat.RECORDED,
        scope=Scope.ADMIN_WRITE,
    ),
)
