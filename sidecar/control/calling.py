"""The limits of control keys at work: which calls count, what answers say of it, and the refusal."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from sidecar.control.decoding import PRINCIPAL
from sidecar.control.endpoint import Endpoint, Parts
from sidecar.control.errors import RateLimited
from sidecar.domain import limit_fields
from sidecar.services.call_limits import Called

_CALLED: Final = web.RequestKey("called", Called)


def count(endpoint: Endpoint[Any, Any, Any], parts: Parts, request: web.Request) -> None:
    """Count a call. RateLimited when there were too many. What programs ask for each request of theirs is free."""
    principal = request.get(PRINCIPAL)
    if principal is None or endpoint.hot:
        return
    called = request[_CALLED] = parts.call_limits.call(principal)
    if called.refused is not None:
        raise RateLimited(called.refused, called.wait_ms)


def headers(request: web.Request) -> Mapping[str, str]:
    """What the answer says of the limits; nothing, where none applies."""
    called = request.get(_CALLED)
    if called is None or not called.standing:
        return {}
    return {
        "RateLimit-Policy": limit_fields.policy(limit for limit, _ in called.standing).decode(),
        "RateLimit": limit_fields.standing(called.standing).decode(),
    }
