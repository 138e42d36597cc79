"""The control API as one aiohttp application: the route table, and what surrounds it."""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from sidecar.control import openapi, reference_page
from sidecar.control.auditing import audited
from sidecar.control.decoding import PRINCIPAL
from sidecar.control.endpoint import Endpoint, Parts
from sidecar.control.middleware import answering_problems, authorised, name_request
from sidecar.control.routes import ENDPOINTS
from sidecar.control.serving import serve
from sidecar.domain.control_keys import Principal

PartsOf = Callable[[Principal], Awaitable[Parts]]

BODY_MAX_BYTES = 1_048_576


def make_app(parts: Parts, parts_of: PartsOf | None = None) -> web.Application:
    """The application; it opens nothing and owns nothing of what it is given.

    `parts` are the operator's own, `parts_of` gives those of other tenants and environments, by whose key it is.
    """
    document, page = _description()
    parts = replace(parts, openapi=document, reference=page)
    open_paths = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.open)
    middlewares = [
        audited,
        answering_problems(parts.real_now_ms),
        authorised(parts.control_keys, open_paths),
    ]
    app = web.Application(middlewares=middlewares, client_max_size=BODY_MAX_BYTES)
    app.on_response_prepare.append(name_request)
    # The router tries one after the other: what is asked most comes first.
    for endpoint in sorted(ENDPOINTS, key=lambda each: not each.hot):
        handler = _handler(endpoint, parts, parts_of)
        for path in endpoint.paths:
            # A parameter is anything without a slash; aiohttp's own default leaves braces out.
            pattern = path.replace("}", ":[^/]+}")
            if endpoint.method == "GET":
                app.router.add_get(pattern, handler)  # Adds HEAD too.
            else:
                app.router.add_route(endpoint.method, pattern, handler)
    return app


@cache
def _description() -> tuple[bytes, bytes]:
    """The OpenAPI document and its page: the same in every application of this program."""
    document = openapi.document(ENDPOINTS)
    return document, reference_page.page(document)


def _handler(endpoint: Endpoint[Any, Any, Any], home: Parts, parts_of: PartsOf | None) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        principal = request.get(PRINCIPAL)
        parts = home if principal is None or principal.operator or parts_of is None else await parts_of(principal)
        return await serve(endpoint, parts, request)

    return handle
