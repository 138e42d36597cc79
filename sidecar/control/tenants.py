"""Tenants: the operator makes them, lists them, and makes keys for them."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.control.admin_keys import expiry, scopes_for
from sidecar.control.admin_schema import ControlKeyView, CreateControlKey, NewControlKeyView
from sidecar.control.credit_schema import Prose
from sidecar.control.endpoint import Call, Given, Repeat, endpoint
from sidecar.control.schema import Asked, Nothing, Pagination, Paging, Wire, instant
from sidecar.domain.scopes import Scope
from sidecar.services.tenants import Tenant

PATH = "/v1/admin/tenants"


class CreateTenant(Asked, frozen=True, kw_only=True):
    tenant: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9-]{0,31}$(?!\n)",
            description="Its name, for ever: what its proxies have as the setting `tenant`.",
        ),
    ]
    name: Annotated[Prose, Meta(description="For people; may be empty.")] = ""


class TenantView(Wire, frozen=True, kw_only=True):
    tenant: str
    name: str
    created_at: Annotated[datetime | None, Meta(description="null: the operator's own.")]

    @classmethod
    def of(cls, tenant: Tenant) -> "TenantView":
        made_at_ms = tenant.created_at_ms
        return cls(
            tenant=tenant.tenant, name=tenant.name, created_at=None if made_at_ms is None else instant(made_at_ms)
        )


class FirstKeys(Wire, frozen=True, kw_only=True):
    """One for each environment; each may do everything there."""

    live: NewControlKeyView
    test: NewControlKeyView


class NewTenantView(TenantView, frozen=True, kw_only=True):
    keys: FirstKeys


class TenantPage(Wire, frozen=True, kw_only=True):
    data: list[TenantView]
    pagination: Pagination


async def create_tenant(call: Call[CreateTenant, Nothing]) -> Given[NewTenantView]:
    """Make a tenant, with a first control key for each of its environments, whose secrets are shown this once.

    Everything of a tenant is apart: its customers, credit, ledger, keys and audit log; and so are live and test.
    """
    made, keys = await call.parts.tenants.make(
        call.body.tenant, name=call.body.name, created_by=call.principal.key_id
    )
    now_ms = call.parts.real_now_ms()
    shown = {
        environment: NewControlKeyView.showing(ControlKeyView.of(key, None, now_ms), secret)
        for environment, (key, secret) in keys.items()
    }
    hidden = {environment: view.without_secret() for environment, view in shown.items()}
    view = NewTenantView(**msgspec.structs.asdict(TenantView.of(made)), keys=FirstKeys(**shown))
    return Given(view, 201, remembered=msgspec.structs.replace(view, keys=FirstKeys(**hidden)))


async def list_tenants(call: Call[Nothing, Paging]) -> Given[TenantPage]:
    """List the tenants in the order of their names, the operator's own among them."""
    rest = [each for each in call.parts.tenants.all() if each.tenant > (call.query.cursor or "")]
    shown = rest[: call.query.limit]
    next_cursor = shown[-1].tenant if len(rest) > len(shown) else None
    return Given(TenantPage(data=[TenantView.of(each) for each in shown], pagination=Pagination.of(next_cursor)))


async def create_tenant_key(call: Call[CreateControlKey, Nothing]) -> Given[NewControlKeyView]:
    """Make a control key for a tenant: of `live`, unless `environment` says `test`. Its secret is shown this once."""
    wanted, now_ms = call.body, call.parts.real_now_ms()
    key, secret = await call.parts.control_keys.make(
        call.parts.tenants.checked(call.path["tenant"]),
        wanted.environment or "live",
        name=wanted.name,
        scopes=scopes_for(call.principal, wanted.scopes),
        created_by=call.principal.key_id,
        expires_at_ms=expiry(now_ms, wanted),
    )
    view = NewControlKeyView.showing(ControlKeyView.of(key, None, now_ms), secret)
    return Given(view, 201, remembered=view.without_secret())


ENDPOINTS = (
    endpoint(
        "POST",
        PATH,
        create_tenant,
        {201: "The tenant and, this once, the secrets of its first keys."},
        Repeat.RECORDED,
        scope=Scope.TENANTS_WRITE,
    ),
    endpoint("GET", PATH, list_tenants, {200: "One page of tenants."}, scope=Scope.TENANTS_READ),
    endpoint(
        "POST",
        f"{PATH}/{{tenant}}/api-keys",
        create_tenant_key,
        {201: "The key and, this once, its secret."},
        Repeat.RECORDED,
        scope=Scope.TENANTS_WRITE,
    ),
)
