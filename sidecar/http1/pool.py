"""All connections to one origin: opening them, keeping the idle ones, and the queue of those who wait for one.

The most recently used connection is handed out first, so that the others grow idle and are closed. An exchange that
finds none waits in a queue, in which every customer has its turn; whatever becomes free first, a new connection or a
used one, goes to its head. The queue has a bound: beyond it, exchanges are shed.
"""

import asyncio
import ssl
from collections.abc import Callable

from sidecar.http1.engine import Engine
from sidecar.http1.errors import Failure
from sidecar.http1.exchange import Exchange
from sidecar.http1.fair_queue import FairQueue
from sidecar.http1.heads import parse_response
from sidecar.http1.known_heads import KnownHeads
from sidecar.http1.upstream import Origin, UpstreamConnection


class Pool:
    """All connections to one origin."""

    __slots__ = (
        "_connections",
        "_idle",
        "_idle_max",
        "_idle_s",
        "_opening",
        "_waiting",
        "_waiting_max",
        "closed",
        "engine",
        "failed",
        "heads",
        "most",
        "origin",
    )

    def __init__(
        self,
        engine: Engine,
        origin: Origin,
        *,
        connections_max: int,
        idle_max: int,
        idle_timeout_s: float,
        waiting_max: int = 1_000_000,
    ) -> None:
        self.engine = engine
        self.heads = KnownHeads(lambda data: parse_response(data, b"GET", engine.limits.headers_max))
        self.origin = origin
        self.most = connections_max
        self._idle_max = idle_max
        self._idle_s = idle_timeout_s
        self._idle: list[UpstreamConnection] = []
        self._connections: set[UpstreamConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting = FairQueue()
        self._waiting_max = waiting_max
        self.closed = False
        self.failed: Callable[[Exchange, Failure], None] | None = None
        """Told of each exchange that no connection could be had for, or that got no answer over one."""

    @property
    def size(self) -> int:
        """Connections that are open or being opened."""
        return len(self._connections) + len(self._opening)

    @property
    def idle(self) -> int:
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Requests that are under way or wait for a connection."""
        return len(self._connections) - len(self._idle) + len(self._waiting)

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether no further connection may be opened."""
        return self.size >= self.most

    def take(self, exchange: Exchange) -> UpstreamConnection | None:
        """An idle connection, or None: then `exchange.on_connected` or `on_connect_failed` will be called.

        `on_shed` was called instead, if too many wait already.
        """
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        if len(self._waiting) >= self._waiting_max:
            exchange.on_shed("Too many requests wait for a connection to the upstream already; try again soon.")
            return None
        self._waiting.add(exchange)
        if self.size < self.most:
            self._open(None, b"")
        return None

    def give_up(self, exchange: Exchange) -> None:
        """It waits no longer."""
        self._waiting.discard(exchange)

    def connect_again(self, exchange: Exchange, data: bytes) -> None:
        """A new connection for an exchange whose used one turned out to be dead; `data` is sent on it."""
        self._open(exchange, data)

    def release(self, connection: UpstreamConnection) -> None:
        """A connection is free for the next exchange."""
        if connection.closed:
            return
        while self._waiting:
            exchange = self._waiting.pop()
            if exchange.on_connected(connection):
                return
        if len(self._idle) >= self._idle_max or self.closed:
            connection.discard()
            return
        connection.idle_since_s = self.engine.now_s
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """It is closed; if others wait, another one is opened in its place."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_another()

    def _open_another(self) -> None:
        """For those who wait and whom no attempt in progress will serve."""
        if self._waiting and not self.closed and self.size < self.most and len(self._opening) < len(self._waiting):
            self._open(None, b"")

    def tick(self) -> None:
        """Close what was idle for too long."""
        limit = self.engine.now_s - self._idle_s
        for connection in [one for one in self._idle if one.idle_since_s < limit]:
            connection.discard()

    async def close(self) -> None:
        self.closed = True
        for connection in tuple(self._connections):
            connection.discard()
        for task in tuple(self._opening):
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _open(self, exchange: Exchange | None, data: bytes) -> None:
        task = self.engine.loop.create_task(self._connect(exchange, data), name=f"connect {self.origin}")
        self._opening.add(task)
        task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        self._open_another()

    async def _connect(self, exchange: Exchange | None, data: bytes) -> None:
        """Open one connection, for `exchange` or for whoever waits longest."""
        origin = self.origin
        try:
            async with asyncio.timeout(self.engine.limits.connect_s):
                _, connection = await self.engine.loop.create_connection(
                    lambda: UpstreamConnection(self),
                    origin.host,
                    origin.port,
                    ssl=origin.tls,
                    server_hostname=origin.host if origin.tls else None,
                )
        except TimeoutError:
            self._tell_failure(exchange, f"Connecting to the upstream {origin} took too long.", timed_out=True)
            return
        except ssl.SSLCertVerificationError as error:
            detail = f"The certificate of the upstream {origin} is not valid: {error.verify_message}."
            self._tell_failure(exchange, detail, timed_out=False)
            return
        except Exception as error:  # noqa: BLE001  Whatever it is, it must not leave an exchange waiting.
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            self._tell_failure(exchange, f"The upstream {origin} cannot be reached: {reason}.", timed_out=False)
            return
        if connection.closed:
            detail = f"The upstream {origin} closed a new connection at once."
            self._tell_failure(exchange, detail, timed_out=False)
            return
        self._connections.add(connection)
        if exchange is None:
            self.release(connection)
        elif exchange.end is None:
            exchange.on_replayed(connection, data)
        else:
            self.release(connection)

    def _tell_failure(self, exchange: Exchange | None, detail: str, *, timed_out: bool) -> None:
        """One failed attempt fails one exchange; the others have attempts of their own."""
        if exchange is None and self._waiting:
            exchange = self._waiting.pop()
        if exchange is not None:
            exchange.on_connect_failed(detail, timed_out=timed_out)
