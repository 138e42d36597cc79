"""The control API as one aiohttp application: the route table, and what surrounds it."""

import time
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from sidecar.config.settings import Settings
from sidecar.control import openapi
from sidecar.control.endpoint import Endpoint, Parts
from sidecar.control.middleware import answering_problems, authorised, name_request
from sidecar.control.routes import ENDPOINTS
from sidecar.control.serving import serve
from sidecar.domain.amounts import Unit
from sidecar.services.deferred import Deferred
from sidecar.services.history import History
from sidecar.services.reloading import Reloading
from sidecar.store.accounts import Accounts
from sidecar.store.counters import Counters
from sidecar.store.customers import Customers
from sidecar.store.once import OnceRecords
from sidecar.store.open_holds import OpenHolds

BODY_MAX_BYTES = 1_048_576


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def make_app(
    *,
    accounts: Accounts,
    counters: Counters,
    open_holds: OpenHolds,
    customers: Customers,
    deferred: Deferred,
    once_records: OnceRecords,
    history: History,
    reloading: Reloading,
    settings: Settings,
    admin_key: str,
    ready: Callable[[], str | None],
    registry: CollectorRegistry,
    now_ms: Callable[[], int] = wall_clock_ms,
) -> web.Application:
    """The application; it opens nothing and owns nothing of what it is given.

    `ready` gives None, or in one sentence why the process cannot serve. `now_ms` dates ids and records.
    """
    assert admin_key, "an empty key would let everybody in"
    parts = Parts(
        accounts=accounts,
        counters=counters,
        open_holds=open_holds,
        customers=customers,
        deferred=deferred,
        once_records=once_records,
        history=history,
        reloading=reloading,
        units={name: Unit(name=name, scale=unit.scale) for name, unit in settings.units.items()},
        ready=ready,
        registry=registry,
        now_ms=now_ms,
        openapi=openapi.document(ENDPOINTS),
    )
    open_paths = frozenset(endpoint.path for endpoint in ENDPOINTS if endpoint.open)
    app = web.Application(
        middlewares=[answering_problems(now_ms), authorised(admin_key, open_paths)], client_max_size=BODY_MAX_BYTES
    )
    app.on_response_prepare.append(name_request)
    for endpoint in ENDPOINTS:
        handler = _handler(endpoint, parts)
        for path in endpoint.paths:
            # A parameter is anything without a slash; aiohttp's own default leaves braces out.
            pattern = path.replace("}", ":[^/]+}")
            if endpoint.method == "GET":
                app.router.add_get(pattern, handler)  # Adds HEAD too.
            else:
                app.router.add_route(endpoint.method, pattern, handler)
    return app


def _handler(endpoint: Endpoint[Any, Any, Any], parts: Parts) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await serve(endpoint, parts, request)

    return handle
