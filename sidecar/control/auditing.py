"""What each write leaves in the audit log: who asked for what, and what came of it, also when that was a refusal.

What programs do for each request of theirs is not in it: the ledger has that.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from sidecar.control.decoding import PRINCIPAL, REQUEST_ID
from sidecar.control.endpoint import Endpoint, Parts, Repeat
from sidecar.domain.audit import Audited
from sidecar.domain.ids import new_id
from sidecar.services.audit_trail import AuditTrail

_RECORD: Final = web.RequestKey("audited", Audited)
_TRAIL: Final = web.RequestKey("audit_trail", AuditTrail)
_SAID: Final = frozenset({"actor_id", "on_behalf_of", "reason"})


@web.middleware
async def audited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Write down what an endpoint began, with the status of the answer, before it is sent."""
    response = await handler(request)
    if (record := request.get(_RECORD)) is not None:
        await request[_TRAIL].record(replace(record, status=response.status))
    return response


def begin(endpoint: Endpoint[Any, Any, Any], parts: Parts, request: web.Request) -> None:
    """A write that is to be written down; nothing, if it is none."""
    principal = request.get(PRINCIPAL)
    if principal is None or endpoint.repeat is Repeat.READ or endpoint.hot:
        return
    now_ms = parts.real_now_ms()
    request[_TRAIL] = parts.audit_trail
    request[_RECORD] = Audited(
        audit_id=new_id("aud", now_ms, secrets.token_bytes(10)),
        at_ms=now_ms,
        key_id=principal.key_id,
        request_id=request[REQUEST_ID],
        operation=endpoint.name,
        method=endpoint.method,
        route=endpoint.path,
        target=endpoint.path,
        status=0,
    )


def asked_by(request: web.Request, said: Mapping[str, str]) -> None:
    """Who asks, as the headers say."""
    if (record := request.get(_RECORD)) is not None:
        request[_RECORD] = replace(record, **{name: text for name, text in said.items() if name in _SAID})


def about(request: web.Request, path: Mapping[str, str]) -> None:
    """What it is about: the path's parameters, with our id of the customer."""
    if (record := request.get(_RECORD)) is not None:
        target = record.route.format_map({name: quote(value, safe="") for name, value in path.items()})
        request[_RECORD] = replace(record, target=target, customer_id=path.get("customer_id", ""))
