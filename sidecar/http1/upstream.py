"""Connections to one upstream: reading its answers, and a pool that keeps the idle ones.

The pool hands the most recently used connection out first, so that the others grow idle and are closed. An exchange
that finds none waits in a queue; whatever becomes free first, a new connection or a used one, goes to its head.
"""

import asyncio
import ssl
from collections import OrderedDict
from typing import cast

import msgspec

from sidecar.http1.bodies import ChunkDecoder
from sidecar.http1.engine import Engine
from sidecar.http1.errors import ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.heads import CHUNKED, UNTIL_CLOSE, parse_response
from sidecar.http1.known_heads import KnownHeads


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an upstream is, and how its certificate is checked."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"


class UpstreamConnection(asyncio.Protocol):
    """One connection; carries one exchange at a time."""

    __slots__ = (
        "_buffer",
        "_decoder",
        "_engine",
        "_exchange",
        "_head_pending",
        "_keep_alive",
        "_left",
        "_paused_by",
        "_pool",
        "_transport",
        "_used_up",
        "_writing_paused",
        "closed",
        "idle_since_s",
        "uses",
    )

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._engine = pool.engine
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._buffer = b""
        self._head_pending = True
        self._decoder: ChunkDecoder | None = None
        self._left = 0
        self._keep_alive = False
        self._paused_by = 0
        self._used_up = False
        self._writing_paused = False
        self.closed = False
        self.idle_since_s = 0.0
        self.uses = 0

    def send(self, exchange: Exchange, data: bytes) -> None:
        """Begin an exchange with its head and what there is of its body."""
        self._exchange = exchange
        self._head_pending = True
        self.uses += 1
        self.write(data)

    def write(self, data: bytes) -> None:
        if not self.closed and data:
            assert self._transport is not None
            self._transport.write(data)

    def use_up(self) -> None:
        """Carry no further exchange after this one."""
        self._used_up = True

    def abandon(self) -> None:
        """The exchange ended before its answer did: nothing more can be done with this connection."""
        self._exchange = None
        self.discard()

    def give_back(self) -> None:
        """It was handed out and never used."""
        self._pool.release(self)

    def discard(self) -> None:
        if not self.closed:
            self.closed = True
            self._pool.forget(self)
            if self._transport is not None:
                self._transport.abort()

    def pause(self, reason: int) -> None:
        """Stop reading until every reason has gone."""
        if not self._paused_by and not self.closed and self._transport is not None:
            self._transport.pause_reading()
        self._paused_by |= reason

    def resume(self, reason: int) -> None:
        if self._paused_by:
            self._paused_by &= ~reason
            if not self._paused_by and not self.closed and self._transport is not None:
                self._transport.resume_reading()

    # --- asyncio's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def eof_received(self) -> None:
        if self._exchange is None:
            self.discard()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._pool.forget(self)
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if self._left == UNTIL_CLOSE and not self._head_pending and exc is None:
            exchange.on_response_body(b"", done=True, trailers=[])
            exchange.advance()
            return
        answered = not self._head_pending or bool(self._buffer)
        how = "in the middle of its answer" if answered else "without an answer"
        exchange.on_upstream_lost(
            f"The upstream closed the connection {how}.", reused=self.uses > 1, answered=answered
        )

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._exchange is not None:
            self._exchange.on_upstream_paused()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._exchange is not None:
            self._exchange.on_upstream_resumed()

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            # Bytes that nobody asked for: they would be taken for the answer to the next request.
            self.discard()
            return
        try:
            if self._head_pending:
                data = self._buffer + data if self._buffer else data
                if not self._read_head(exchange, data):
                    return
                data, self._buffer = self._buffer, b""
            self._read_body(exchange, data)
        except ProtocolError as error:
            self._exchange = None
            self.discard()
            detail = error.detail if error.status == 502 else f"The upstream's answer is broken: {error.detail}"
            exchange.on_upstream_lost(detail, reused=False, answered=True)
        exchange.advance()

    def _read_head(self, exchange: Exchange, data: bytes) -> bool:
        """Read the head, and interim ones before it; False when it is not whole. `_buffer` keeps what follows."""
        limits = self._engine.limits
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > limits.head_max_bytes:
                # Up to three bytes of the empty line that ends a head may be here already.
                if end >= 0 or len(data) - 3 > limits.head_max_bytes:
                    detail = f"The head of the upstream's answer is longer than {limits.head_max_bytes} bytes."
                    raise ProtocolError(502, "upstream_broken", detail)
                self._buffer = data
                return False
            method = exchange.head.method
            if method == b"HEAD":
                head = parse_response(data[: end + 4], method, limits.headers_max)
            else:
                head = self._pool.heads.read(data[: end + 4])
            data = data[end + 4 :]
            if head.status >= 200:
                break
            exchange.on_interim(head)
        self._head_pending = False
        self._buffer = data
        self._left = head.length
        self._keep_alive = head.keep_alive
        self._decoder = ChunkDecoder(limits.head_max_bytes) if head.length == CHUNKED else None
        exchange.on_response_head(head)
        return True

    def _read_body(self, exchange: Exchange, data: bytes) -> None:
        trailers: list[tuple[bytes, bytes]] = []
        rest = b""
        if self._decoder is not None:
            payload = self._decoder.feed(data)
            done = self._decoder.done
            if done:
                rest, trailers = self._decoder.rest, self._decoder.trailers
        elif self._left == UNTIL_CLOSE:
            payload, done = data, False
        elif len(data) <= self._left:
            self._left -= len(data)
            payload, done = data, self._left == 0
        else:
            payload, rest, done = data[: self._left], data[self._left :], True
        if done:
            self._exchange = None
            if rest or not self._keep_alive or not exchange.request_done or self._writing_paused or self._used_up:
                self.discard()
            else:
                self.resume(self._paused_by)
                self._pool.release(self)
        if payload or done:
            exchange.on_response_body(payload, done, trailers)


class Pool:
    """All connections to one origin."""

    __slots__ = (
        "_connections",
        "_idle",
        "_idle_max",
        "_idle_s",
        "_opening",
        "_waiting",
        "closed",
        "engine",
        "heads",
        "most",
        "origin",
    )

    def __init__(
        self, engine: Engine, origin: Origin, *, connections_max: int, idle_max: int, idle_timeout_s: float
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
        self._waiting: OrderedDict[Exchange, None] = OrderedDict()
        self.closed = False

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
    def full(self) -> bool:
        """Whether no further connection may be opened."""
        return self.size >= self.most

    def take(self, exchange: Exchange) -> UpstreamConnection | None:
        """An idle connection, or None: then `exchange.on_connected` or `on_connect_failed` will be called."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        self._waiting[exchange] = None
        if self.size < self.most:
            self._open(None, b"")
        return None

    def give_up(self, exchange: Exchange) -> None:
        """It waits no longer."""
        self._waiting.pop(exchange, None)

    def connect_again(self, exchange: Exchange, data: bytes) -> None:
        """A new connection for an exchange whose used one turned out to be dead; `data` is sent on it."""
        self._open(exchange, data)

    def release(self, connection: UpstreamConnection) -> None:
        """A connection is free for the next exchange."""
        if connection.closed:
            return
        while self._waiting:
            exchange, _ = self._waiting.popitem(last=False)
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
            exchange, _ = self._waiting.popitem(last=False)
        if exchange is not None:
            exchange.on_connect_failed(detail, timed_out=timed_out)
