"""Connections of clients: reading requests, one after the other, and handing each to a coroutine of its own."""

import asyncio
import re
import socket
import struct
from typing import cast

from sidecar.http1 import fields
from sidecar.http1.bodies import ChunkDecoder
from sidecar.http1.engine import HIGH_WATER_BYTES, Engine
from sidecar.http1.errors import ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.heads import CHUNKED, RequestHead
from sidecar.http1.reasons import reason_of

LINGER_S = 2.0
"""How long bytes of a refused request are read and dropped: a reset would destroy our answer on its way."""

_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
_RESET = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """One connection; carries one exchange at a time, and keeps what is pipelined behind it."""

    __slots__ = (
        "_beginning",
        "_buffer",
        "_deadline_s",
        "_decoder",
        "_exchange",
        "_left",
        "_lingering",
        "_paused_by",
        "_scanned",
        "_transport",
        "engine",
        "gone",
        "paused",
        "peer",
    )

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._beginning = False
        self._buffer = b""
        self._scanned = 0
        self._decoder: ChunkDecoder | None = None
        self._left = 0
        self._paused_by = 0
        self._lingering = False
        self._deadline_s = engine.now_s + engine.limits.client_idle_s
        self.gone = False
        self.paused = False
        self.peer = b""

    @property
    def reads_body(self) -> bool:
        """Whether the rest of a body is awaited from the client: nobody on our side has paused it."""
        return not self._paused_by & _BODY

    # --- The exchange's side ------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self.gone and data:
            assert self._transport is not None
            self._transport.write(data)

    def early_bytes(self) -> bytes:
        """What the client sent behind its request, now that it belongs to another protocol."""
        data, self._buffer = self._buffer, b""
        self._resume(_PIPELINE)
        return data

    def exchange_done(self, keep_alive: bool) -> None:
        """The answer has been written. The next request begins when the rest of this one's body has passed."""
        exchange = self._exchange
        if exchange is None:
            return
        if not keep_alive:
            self._exchange = None
            self._close(linger=not exchange.request_done or bool(self._buffer))
        elif exchange.request_done:
            self._exchange = None
            if self._buffer or self._paused_by or self.engine.draining:
                self._next()
            else:
                self._deadline_s = self.engine.now_s + self.engine.limits.client_idle_s
        else:
            self._deadline_s = self.engine.now_s + self.engine.limits.client_idle_s
            self.resume_reading_body()

    def hang_up(self, *, reset: bool) -> None:
        self._exchange = None
        if reset and not self.gone and self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._close(linger=False)

    def pause_reading_body(self) -> None:
        self._pause(_BODY)

    def resume_reading_body(self) -> None:
        self._resume(_BODY)

    # --- The engine's side --------------------------------------------------------------------------------------

    def check(self, now_s: float) -> None:
        """Called on each tick."""
        exchange = self._exchange
        if exchange is not None and not exchange.answered:
            exchange.check(now_s)
        elif now_s >= self._deadline_s:
            if self._lingering or self.paused:
                if self._transport is not None:
                    self._transport.abort()
            elif self._buffer and exchange is None:
                self._reject(ProtocolError(408, "request_timed_out", "The request head did not arrive in time."))
            else:
                self._close(linger=False)

    def drain(self) -> None:
        """No further request on this connection."""
        if self._exchange is None and not self._lingering:
            self._close(linger=False)

    def cut_off(self) -> None:
        """The time for draining is over."""
        if self._exchange is not None and not self._exchange.answered:
            self._exchange.cut_off()
        elif self._transport is not None:
            self._transport.abort()

    # --- asyncio's side -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        engine = self.engine
        engine.connections.add(self)
        peer = self._transport.get_extra_info("peername")
        self.peer = str(peer[0]).encode("ascii", "replace") if peer else b"unknown"
        if len(engine.connections) > engine.limits.client_connections_max:
            detail = f"More than {engine.limits.client_connections_max} clients are connected."
            self._reject(ProtocolError(503, "too_many_connections", detail))

    def connection_lost(self, _exc: Exception | None) -> None:
        self.gone, self.paused = True, False
        self.engine.connections.discard(self)
        self._buffer = b""
        if self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            exchange.on_client_gone()
            exchange.advance()

    def pause_writing(self) -> None:
        self.paused = True
        self._deadline_s = self.engine.now_s + self.engine.limits.client_idle_s
        if self._exchange is not None:
            self._exchange.on_client_paused()

    def resume_writing(self) -> None:
        self.paused = False
        if self._exchange is not None:
            self._exchange.on_client_resumed()
        elif not self._lingering:
            self._next()

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if self._lingering:
            return
        if exchange is not None and not exchange.request_done:
            self._read_body(exchange, data)
            exchange.advance()
        elif exchange is not None and exchange.tunnels:
            exchange.on_client_bytes(data)
            exchange.advance()
        else:
            self._buffer = self._buffer + data if self._buffer else data
            if exchange is None:
                self._next()
            if len(self._buffer) > HIGH_WATER_BYTES:
                self._pause(_PIPELINE)

    # --- Inside -------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin the requests that are whole, each as soon as the one before is answered.

        What is answered at once comes back here, and must not nest; a client that does not read gets no more answers.
        """
        if self._beginning:
            return
        self._beginning = True
        try:
            while self._exchange is None and not self.paused and self._begin_next():
                pass
        finally:
            self._beginning = False

    def _begin_next(self) -> bool:
        """Begin the next exchange if its head is whole."""
        engine = self.engine
        if self._paused_by:
            self._resume(_PIPELINE)
        # RFC 9112 §2.2: empty lines before a request are ignored; a lone CR or LF is not an empty line.
        if self._buffer.startswith(b"\r\n"):
            self._buffer = _EMPTY_LINES.sub(b"", self._buffer, count=1)
        if not self._buffer:
            self._deadline_s = engine.now_s + engine.limits.client_idle_s
            self._scanned = 0
            if engine.draining:
                self._close(linger=False)
            return False
        try:
            head = self._read_head()
        except ProtocolError as error:
            self._reject(error)
            return False
        if head is not None:
            self._begin(head)
        return head is not None

    def _begin(self, head: RequestHead) -> None:
        engine, length, data = self.engine, head.length, self._buffer
        engine.requests_total += 1
        if 0 <= length <= len(data):
            # Nearly all requests come whole: head and body in one read.
            exchange = self._exchange = Exchange(self, head, data[:length])
            self._buffer = data[length:]
        else:
            self._left, self._buffer = length, b""
            self._decoder = ChunkDecoder(engine.limits.head_max_bytes) if length == CHUNKED else None
            exchange = self._exchange = Exchange(self, head, None)
            if data:
                self._read_body(exchange, data)
        exchange.run(engine.handler)

    def _read_head(self) -> RequestHead | None:
        """Take the next head out of `_buffer`; None when it is not whole."""
        end = self._head_end()
        if end < 0:
            return None
        limits, data = self.engine.limits, self._buffer
        head = self.engine.heads.read(data[: end + 4])
        if head.length > limits.body_max_bytes:
            detail = f"The request body is larger than {limits.body_max_bytes} bytes."
            raise ProtocolError(413, "body_too_large", detail)
        self._buffer = data[end + 4 :]
        self._scanned = 0
        return head

    def _head_end(self) -> int:
        """Where the head in `_buffer` ends, or -1; a head that is too long is refused as soon as that shows."""
        limits, buffer = self.engine.limits, self._buffer
        end = buffer.find(b"\r\n\r\n", self._scanned)
        line_max = limits.request_line_max_bytes
        if 0 <= end <= line_max:
            return end
        first = buffer.find(b"\n")
        if first >= 0 and not buffer.endswith(b"\r", 0, first):
            raise ProtocolError(400, "bad_request", "The request line ends without CR.")
        if len(buffer) >= line_max + 2 and buffer.find(b"\r\n", 0, line_max + 2) < 0:
            detail = f"The request line is longer than {line_max} bytes."
            raise ProtocolError(414, "uri_too_long", detail)
        # Up to three bytes of the empty line that ends a head may be here already.
        if (end if end >= 0 else len(buffer) - 3) > limits.head_max_bytes:
            detail = f"The request head is longer than {limits.head_max_bytes} bytes."
            raise ProtocolError(431, "headers_too_large", detail)
        if end < 0:
            if self._scanned == 0:
                self._deadline_s = self.engine.now_s + limits.client_head_s
            self._scanned = max(len(buffer) - 3, 1)
        return end

    def _read_body(self, exchange: Exchange, data: bytes) -> None:
        trailers: list[tuple[bytes, bytes]] = []
        if self._decoder is not None:
            try:
                payload = self._decoder.feed(data)
            except ProtocolError as error:
                self._body_broke(exchange, error)
                return
            done = self._decoder.done
            if done:
                self._buffer, trailers = self._decoder.rest, self._decoder.trailers
        else:
            payload, self._buffer = data[: self._left], data[self._left :]
            self._left -= len(payload)
            done = self._left == 0
        if payload or done:
            exchange.on_request_body(payload, done, trailers)
        if done and exchange.answered and self._exchange is exchange:
            self._exchange = None
            self._next()

    def _body_broke(self, exchange: Exchange, error: ProtocolError) -> None:
        self._lingering = True
        if exchange.answered:
            self._exchange = None
            self._close(linger=True)
        else:
            exchange.on_client_broke(error)

    def _reject(self, error: ProtocolError) -> None:
        """Answer a request that cannot even be begun."""
        pairs, body = self.engine.refuse(error)
        head = fields.local_head(error.status, reason_of(error.status), pairs, len(body), close=True)
        self.write(head if self._buffer.startswith(b"HEAD ") else head + body)
        self._close(linger=True)

    def _close(self, *, linger: bool) -> None:
        """Close; with `linger` after the client had time to read what we wrote (RFC 9112 §9.6)."""
        self._buffer = b""
        if self.gone or self._transport is None:
            return
        # What is still to be written may take a while, and must not take for ever.
        patience_s = self.engine.limits.client_idle_s if self._transport.get_write_buffer_size() else LINGER_S
        self._deadline_s = self.engine.now_s + patience_s
        self._lingering = True
        if linger and self._transport.can_write_eof():
            self._resume(_BODY | _PIPELINE)
            self._transport.write_eof()
        else:
            self._transport.close()

    def _pause(self, reason: int) -> None:
        if not self._paused_by and not self.gone and self._transport is not None:
            self._transport.pause_reading()
        self._paused_by |= reason

    def _resume(self, reason: int) -> None:
        if self._paused_by:
            self._paused_by &= ~reason
            if not self._paused_by and not self.gone and self._transport is not None:
                self._transport.resume_reading()


_BODY, _PIPELINE = 1, 2
