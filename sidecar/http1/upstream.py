"""One connection to an upstream: what is written to it, and reading its answers. `pool` keeps them."""

import asyncio
import ssl
from typing import TYPE_CHECKING, cast

import msgspec

from sidecar.http1.bodies import ChunkDecoder
from sidecar.http1.errors import ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.heads import CHUNKED, UNTIL_CLOSE, parse_response

if TYPE_CHECKING:
    from sidecar.http1.pool import Pool


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
            if method == b"HEAD" or exchange.upgrade:
                head = parse_response(data[: end + 4], method, limits.headers_max, exchange.upgrade)
            else:
                head = self._pool.heads.read(data[: end + 4])
            data = data[end + 4 :]
            if head.status >= 200 or head.status == 101:
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
