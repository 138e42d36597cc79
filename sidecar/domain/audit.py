"""What somebody asked the control API to change: one record for each write, whatever came of it."""

import msgspec


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """One write. Texts are empty where the request did not say."""

    audit_id: str
    at_ms: int
    key_id: str
    actor_id: str = ""
    on_behalf_of: str = ""
    reason: str = ""
    request_id: str
    operation: str
    """What it is called in the OpenAPI document."""
    method: str
    route: str
    target: str
    """The path with our ids in it, never the operator's own ids of customers: those can be forgotten."""
    customer_id: str = ""
    status: int
    """Of the answer."""


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What has all of this; None: any."""

    key_id: str | None = None
    actor_id: str | None = None
    operation: str | None = None
    customer_id: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    """Before then."""
