"""The admin listener: health, readiness and metrics for probes and Prometheus, without a control API.

It stands on a port of its own, so that the proxied API keeps every path of its port. It asks for no key and says
nothing of customers. It does not know whether it speaks for one process or for several: it is given their reports.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable, Sequence

from sidecar.config.values import Endpoint
from sidecar.domain.errors import StartupError
from sidecar.domain.problems import MEDIA_TYPE, kind_of, problem
from sidecar.exposition import CONTENT_TYPE, page
from sidecar.http1.client import ClientConnection
from sidecar.http1.engine import Engine, Limits
from sidecar.http1.errors import ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs
from sidecar.http1.reasons import reason_of
from sidecar.proxy.reports import Report
from sidecar.proxy.request_ids import RequestIds
from sidecar.telemetry import folded

TICK_S = 0.25
_LIMITS = Limits(client_connections_max=256, client_head_s=10.0, body_max_bytes=65_536, total_s=30.0)

Look = Callable[[], Awaitable[Sequence[Report | None]]]
"""The reports of all who serve; None for one that hangs."""


class AdminServer:
    """Serves ``/healthz``, ``/readyz`` and ``/metrics``. `port` is known once it has started."""

    def __init__(self, listen: str, look: Look) -> None:
        self._listen = listen
        self._look = look
        self._request_ids = RequestIds()
        self._engine = Engine(_LIMITS, self._refuse)
        self._engine.handler = self._tell
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._paths = {b"/healthz": self._health, b"/readyz": self._readiness, b"/metrics": self._metrics}
        self.port = 0

    async def start(self) -> None:
        """Listen. StartupError, in one sentence, when the address cannot be had."""
        listen = Endpoint.parse(self._listen)
        assert listen is not None, "the settings have been checked"
        loop, engine = self._engine.loop, self._engine
        try:
            self._server = await loop.create_server(lambda: ClientConnection(engine), listen.host, listen.port)
        except OSError as error:
            why = "the port is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
            raise StartupError(
                f"The admin listener cannot have {listen}: {why}; choose another address as proxy.admin_listen."
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._tick()

    async def close(self) -> None:
        """Answer who was being answered, and no one else."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self._server is not None:
            self._server.close()
        await self._engine.drain(TICK_S)

    def _tick(self) -> None:
        self._ticking = self._engine.loop.call_later(TICK_S, self._tick)
        self._engine.tick()

    async def _tell(self, exchange: Exchange) -> None:
        head = exchange.head
        answer = self._paths.get(head.target.partition(b"?")[0])
        if answer is None:
            detail = "There is nothing at this path; there are /healthz, /readyz and /metrics."
            self._problem(exchange, "not_found", detail)
        elif head.method not in {b"GET", b"HEAD"}:
            detail = "Health, readiness and metrics can only be read: GET or HEAD."
            self._problem(exchange, "method_not_allowed", detail, ((b"Allow", b"GET, HEAD"),))
        else:
            answer(exchange, await self._look())

    def _health(self, exchange: Exchange, reports: Sequence[Report | None]) -> None:
        if hanging := sum(report is None for report in reports):
            self._problem(exchange, "not_ready", f"{hanging} of {len(reports)} workers do not answer.")
        else:
            self._answer(exchange, b"application/json", b'{"status":"ok"}')

    def _readiness(self, exchange: Exchange, reports: Sequence[Report | None]) -> None:
        if (why_not := _unready(reports)) is not None:
            self._problem(exchange, "not_ready", why_not)
        else:
            self._answer(exchange, b"application/json", b'{"status":"ready"}')

    def _metrics(self, exchange: Exchange, reports: Sequence[Report | None]) -> None:
        pages = [report.families for report in reports if report is not None]
        self._answer(exchange, CONTENT_TYPE.encode(), page(folded(pages)))

    def _answer(self, exchange: Exchange, media_type: bytes, body: bytes) -> None:
        exchange.answer(200, b"OK", ((b"Content-Type", media_type), (b"Cache-Control", b"no-store")), body)

    def _problem(self, exchange: Exchange, code: str, detail: str, more: Pairs = ()) -> None:
        status = kind_of(code).status
        pairs, body = self._refuse(ProtocolError(status, code, detail))
        exchange.answer(status, reason_of(status), (*pairs, *more), body)

    def _refuse(self, error: ProtocolError) -> tuple[Pairs, bytes]:
        fields = ((b"Content-Type", MEDIA_TYPE.encode()), (b"Cache-Control", b"no-store"))
        return fields, problem(error.code, error.detail, self._request_ids.next())


def _unready(reports: Sequence[Report | None]) -> str | None:
    """Why not all who listen can serve; a client is connected to any of them."""
    if not reports:
        return "No worker serves."
    if None in reports:
        return "A worker does not answer."
    return next((report.unready for report in reports if report is not None and report.unready is not None), None)
