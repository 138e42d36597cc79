"""The engine alone on real sockets: a listener, a pool, and a handler that forwards and nothing else.

    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/"))

Leaving it proves that nothing leaked: no handler runs, no connection and no task is left. It knows no credits.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from sidecar.http1.client import ClientConnection
from sidecar.http1.engine import Engine, Limits
from sidecar.http1.errors import End, Failure, ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs, RequestPolicy
from sidecar.http1.pool import Pool
from sidecar.http1.upstream import Origin
from tests.support.until import until

TICK_S = 0.01
STATUSES = {End.UPSTREAM_FAILED: 502, End.TIMED_OUT: 504, End.CUT: 503, End.CLIENT_GONE: 499}
PLAIN = RequestPolicy(host=b"upstream.test", x_forwarded=False, via=False)

Handler = Callable[[Exchange], Awaitable[None]]


def refuse(error: ProtocolError) -> tuple[Pairs, bytes]:
    return ((b"X-Code", error.code.encode()),), error.detail.encode()


class Stage:
    """`ends` and `failures` are what the handlers were told, in order; `exchanges` are all that began."""

    def __init__(
        self,
        upstream_port: int,
        *,
        limits: Limits | None = None,
        policy: RequestPolicy = PLAIN,
        handler: Handler | None = None,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        connections_max: int = 8,
        idle_max: int = 8,
        idle_timeout_s: float = 60.0,
    ) -> None:
        self.policy = policy
        self.ends: list[End] = []
        self.failures: list[Failure] = []
        self.exchanges: list[Exchange] = []
        self.engine = Engine(limits or Limits(), refuse)
        self.pool = Pool(
            self.engine,
            Origin(host=host, port=upstream_port, tls=tls),
            connections_max=connections_max,
            idle_max=idle_max,
            idle_timeout_s=idle_timeout_s,
        )
        self.handler = handler or self.pass_on
        self.engine.handler = self._handle
        self.port = 0

    async def pass_on(self, exchange: Exchange, *, extra: Pairs = (), body: bytes | None = None) -> None:
        """What a proxy does that only forwards."""
        drops = self.policy.dropped()
        answer = await exchange.forward(self.pool, self.policy, drops, extra=extra, body=body)
        if isinstance(answer, Failure):
            self.tell(exchange, answer)
            return
        end = exchange.relay(via=self.policy.via) or await exchange.ended()
        self.ends.append(end)
        if end is End.COMPLETE:
            exchange.finish()
        else:
            exchange.cut()

    def tell(self, exchange: Exchange, failure: Failure) -> None:
        """Answer with what went wrong."""
        self.ends.append(failure.end)
        self.failures.append(failure)
        status = exchange.broken.status if exchange.broken is not None else STATUSES[failure.end]
        code = exchange.broken.code if exchange.broken is not None else failure.end.value
        exchange.answer(status, b"Failed", ((b"X-Code", code.encode()),), failure.detail.encode())

    async def _handle(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        await self.handler(exchange)

    async def __aenter__(self) -> Self:
        self._tasks = asyncio.all_tasks()
        self._server = await self.engine.loop.create_server(
            lambda: ClientConnection(self.engine), "127.0.0.1", 0, backlog=512
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._tick()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        try:
            if error is None:
                await self.quiet()
        finally:
            for connection in tuple(self.engine.connections):
                connection.cut_off()
            await self.pool.close()
            self._ticking.cancel()
        if error is None:
            await until(lambda: not self.engine.connections, "client connections to close")
            assert self.pool.size == 0

    async def quiet(self) -> None:
        """Wait until no request is being handled; then none of them may have left anything behind."""
        await until(lambda: self.engine.running == 0, "handlers to end")
        await until(lambda: self.pool.size == self.pool.idle, "upstream connections to become idle or close")

    def _tick(self) -> None:
        self._ticking = self.engine.loop.call_later(TICK_S, self._tick)
        self.engine.tick()
        self.pool.tick()
