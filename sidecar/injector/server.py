"""The webhook on a socket: TLS, bounds, health, and metrics on a port of their own.

Every answer is given within the five seconds that the API server waits; a body that is larger or slower than any
review is refused. Whoever is to stop is not ready at once, goes on for as long as others need to hear of it, and ends
each connection with its next answer: API servers connect anew, to another replica.
"""

import asyncio
import errno
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from sidecar.config.settings import Injector
from sidecar.config.values import Endpoint
from sidecar.domain.errors import StartupError
from sidecar.injector import review
from sidecar.injector.answer import answer
from sidecar.injector.counts import FAILED, Counts

log = logging.getLogger("sidecar.injector")

REVIEW_S: Final = 5.0
"""What the webhook's configuration gives us."""
BODY_MAX_BYTES: Final = 8 * 1_048_576
"""An API server takes objects of up to 3 MiB; a review has the object, and perhaps an old one."""
KEEP_S: Final = 120.0
"""How long an idle connection stays open: longer than API servers keep theirs, so that they close them, not we."""
LINGER_S: Final = 1.0
"""How long what is left of a refused body is read, so that its sender reads the answer."""
STOP_S: Final = 10.0
"""How long a stop waits for reviews that have begun."""


class Faces:
    """Both applications. `stopping` is set before they are closed: health says so, and connections end."""

    def __init__(
        self, settings: Injector, counts: Counts, registry: CollectorRegistry, *, review_s: float = REVIEW_S
    ) -> None:
        self._settings = settings
        self._counts = counts
        self._registry = registry
        self._review_s = review_s
        self.stopping = False

    def webhook(self) -> web.Application:
        app = web.Application(client_max_size=BODY_MAX_BYTES, middlewares=[self._ending_connections])
        app.router.add_post("/inject", self._inject)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        return app

    def metrics(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        return app

    async def _inject(self, request: web.Request) -> web.Response:
        started_s = time.perf_counter()
        try:
            async with asyncio.timeout(self._review_s):
                body = await request.read()
            response, decision = answer(review.decode(body), self._settings)
        except TimeoutError:
            return self._failed(408, f"The review did not arrive within {self._review_s:g} s.")
        except web.HTTPRequestEntityTooLarge:
            return self._failed(413, f"A review of more than {BODY_MAX_BYTES} bytes is not read.")
        except msgspec.MsgspecError as error:
            return self._failed(400, f"This is no AdmissionReview of {review.API_VERSION} with a pod: {error}.")
        except Exception:
            log.exception("a review failed by a defect of ours")
            return self._failed(500, "The injector has a defect; its log has more.")
        self._counts.decided(decision)
        self._counts.seconds.add(time.perf_counter() - started_s)
        return web.Response(body=review.encode(response), content_type="application/json")

    def _failed(self, status: int, text: str) -> web.Response:
        self._counts.reviews[FAILED] += 1
        return web.Response(status=status, text=f"{text}\n")

    async def _health(self, request: web.Request) -> web.Response:  # noqa: ARG002  (handlers are called alike)
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:  # noqa: ARG002  (as above)
        if self.stopping:
            return web.Response(status=503, text="The process is shutting down.\n")
        return web.Response(text="ready\n")

    async def _metrics(self, request: web.Request) -> web.Response:  # noqa: ARG002  (as above)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @web.middleware
    async def _ending_connections(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        if self.stopping or response.status >= 400:
            response.force_close()
        return response


@asynccontextmanager
async def listening(
    app: web.Application, listen: str, what: str, option: str, tls: SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve `app`; the port. StartupError that names `what` and how to choose another address."""
    endpoint = Endpoint.parse(listen)
    assert endpoint is not None, "the settings have been checked"
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=STOP_S, keepalive_timeout=KEEP_S, lingering_time=LINGER_S
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, endpoint.host, endpoint.port, ssl_context=tls).start()
        except OSError as error:
            why = "the port is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
            raise StartupError(
                f"{what} cannot listen on {endpoint}: {why}; choose another address with {option}."
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
