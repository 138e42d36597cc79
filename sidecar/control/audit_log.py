"""The audit log: who changed what through this API, and what was refused."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from sidecar.control.credit_schema import Instant, Text
from sidecar.control.endpoint import Call, Given, endpoint
from sidecar.control.schema import (
    CURSOR_MAX,
    LIMIT_DEFAULT,
    LIMIT_MAX,
    Asked,
    Nothing,
    Pagination,
    Wire,
    epoch_ms,
    instant,
)
from sidecar.domain.audit import Audited, AuditFilter
from sidecar.domain.errors import InvalidInput
from sidecar.domain.scopes import Scope


class AuditQuery(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    key_id: Text | None = None
    actor_id: Text | None = None
    operation: Annotated[Text, Meta(description="As the OpenAPI document calls it.")] | None = None
    customer_id: Text | None = None
    since: Annotated[Instant, Meta(description="From then on.")] | None = None
    until: Annotated[Instant, Meta(description="Before then.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Meta(min_length=1, max_length=CURSOR_MAX)] | None = None


class AuditView(Wire, frozen=True, kw_only=True):
    audit_id: str
    at: datetime
    key_id: Annotated[str, Meta(description="The control key; `admin` is the operator's own.")]
    actor_id: Annotated[str, Meta(description="X-Actor-Id; empty if it was not sent, as the next two.")]
    on_behalf_of: str
    reason: str
    request_id: str
    operation: Annotated[str, Meta(description="As the OpenAPI document calls it.")]
    method: str
    route: str
    target: Annotated[str, Meta(description="The path; customers by our ids.")]
    customer_id: Annotated[str, Meta(description="Empty if it was about none.")]
    status: Annotated[int, Meta(description="Of the answer.")]

    @classmethod
    def of(cls, record: Audited) -> "AuditView":
        shown = {name: getattr(record, name) for name in cls.__struct_fields__ if name != "at"}
        return cls(at=instant(record.at_ms), **shown)


class AuditPage(Wire, frozen=True, kw_only=True):
    data: list[AuditView]
    pagination: Pagination


async def show_audit_log(call: Call[Nothing, AuditQuery]) -> Given[AuditPage]:
    """List what was asked of this API to change, the newest first, whatever came of it.

    Nobody can change it. What is reported for each use (usage, reservations) is not in it: the ledger has that.
    """
    query = call.query
    if query.since is not None and query.until is not None and query.until <= query.since:
        raise InvalidInput("`to` must be later than `from`.", "to")
    wanted = AuditFilter(
        key_id=query.key_id,
        actor_id=query.actor_id,
        operation=query.operation,
        customer_id=query.customer_id,
        from_ms=None if query.since is None else epoch_ms(query.since, "from"),
        to_ms=None if query.until is None else epoch_ms(query.until, "to"),
    )
    page = await call.parts.audit_trail.page(wanted, query.cursor, query.limit)
    return Given(
        AuditPage(data=[AuditView.of(record) for record in page.items], pagination=Pagination.of(page.next_cursor))
    )


ENDPOINTS = (
    endpoint("GET", "/v1/admin/audit", show_audit_log, {200: "One page of the log."}, scope=Scope.ADMIN_READ),
)
