"""The engine without sockets: bytes in, bytes out, in pieces that the test chooses.

`Memory` is a proxy whose client and upstream are strings of bytes: what the client sends is fed piece by piece, what
the upstream says is looked up by the request that reached it. Nothing waits for real time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import h11

from sidecar.http1.client import ClientConnection
from sidecar.http1.engine import Engine, Limits
from sidecar.http1.errors import ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs, RequestPolicy
from sidecar.http1.upstream import Origin, Pool

TURNS = 12
"""Turns of the loop after each piece: enough for everything that follows from it without I/O."""

Policy = RequestPolicy


def refuse(error: ProtocolError) -> tuple[Pairs, bytes]:
    return ((b"X-Code", error.code.encode()),), error.detail.encode()


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; `on_write` is told of each write."""

    def __init__(self, protocol: asyncio.Protocol, on_write: Callable[[bytes], None] | None = None) -> None:
        super().__init__(extra={"peername": ("192.0.2.7", 7)})
        self.written = b""
        self.reading = True
        self.ended = False
        self._protocol = protocol
        self._on_write = on_write

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        self.written += bytes(data)
        if self._on_write is not None:
            self._on_write(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.ended

    def close(self) -> None:
        if not self.ended:
            self.ended = True
        asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.close()

    def lose(self) -> None:
        protocol, self._protocol = self._protocol, asyncio.Protocol()
        protocol.connection_lost(None)


class MemoryLoop:
    """The running loop, except that connecting leads to `accept`."""

    def __init__(self, accept: Callable[[asyncio.Protocol], MemoryTransport]) -> None:
        self._loop = asyncio.get_running_loop()
        self._accept = accept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], asyncio.Protocol], *_: Any, **__: Any) -> Any:
        protocol = factory()
        transport = self._accept(protocol)
        protocol.connection_made(transport)
        return transport, protocol


Answering = Callable[[h11.Request, bytes], Iterable[bytes]]
"""The pieces of an answer to a request; b"" as the last one closes the connection."""


class Upstream:
    """Answers each request that has wholly arrived; `connections` are the bytes that each connection received."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self._transports: list[MemoryTransport] = []

    @property
    def connections(self) -> list[bytes]:
        return [transport.written for transport in self._transports]

    def accept(self, protocol: asyncio.Protocol) -> MemoryTransport:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 24)
        loop = asyncio.get_running_loop()

        def read(data: bytes) -> None:
            parser.receive_data(data)
            loop.call_soon(serve)

        def serve() -> None:
            request, body = None, b""
            while True:
                event = parser.next_event()
                if isinstance(event, h11.Request):
                    request = event
                    waiting.append(request)
                elif isinstance(event, h11.Data):
                    bodies.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    body = b"".join(bodies)
                    bodies.clear()
                    speak(waiting.pop(), body)
                    parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                    parser.send(h11.EndOfMessage())
                    if parser.our_state is not h11.DONE:
                        return
                    parser.start_next_cycle()
                else:
                    return

        def speak(request: h11.Request, body: bytes) -> None:
            pieces = iter(self._answer(request, body))

            def next_piece() -> None:
                piece = next(pieces, None)
                if piece is None or transport.ended:
                    return
                if piece:
                    protocol.data_received(piece)
                    loop.call_soon(next_piece)
                else:
                    transport.close()

            loop.call_soon(next_piece)

        waiting: list[h11.Request] = []
        bodies: list[bytes] = []
        transport = MemoryTransport(protocol, read)
        self._transports.append(transport)
        return transport


class Memory:
    """One client connection of an engine in memory."""

    def __init__(
        self,
        handler: Callable[[Exchange], Awaitable[None]] | None = None,
        *,
        upstream: Upstream | None = None,
        policy: RequestPolicy | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.policy = policy or RequestPolicy(host=b"upstream.test", x_forwarded=False, via=False)
        self.engine = Engine(limits or Limits(), refuse)
        self.engine.handler = handler or self.pass_on  # type: ignore[assignment]  # A coroutine function is one.
        if upstream is not None:
            self.engine.loop = MemoryLoop(upstream.accept)  # type: ignore[assignment]  # What the engine uses of it.
        origin = Origin(host="upstream.test", port=80)
        self.pool = Pool(self.engine, origin, connections_max=4, idle_max=4, idle_timeout_s=60)
        self.client = ClientConnection(self.engine)
        self.transport = MemoryTransport(self.client)
        self.client.connection_made(self.transport)

    async def pass_on(self, exchange: Exchange) -> None:
        await exchange.forward(self.pool, self.policy, self.policy.dropped())
        if exchange.failure is not None:
            error = exchange.broken or ProtocolError(502, "upstream_failed", exchange.failure.detail)
            exchange.answer(error.status, b"Failed", *refuse(error))
            return
        exchange.relay(via=self.policy.via) or await exchange.ended()
        if exchange.failure is None:
            exchange.finish()
        else:
            exchange.cut()

    async def feed(self, pieces: Sequence[bytes]) -> bytes:
        """Everything that the client is sent for `pieces`."""
        for piece in pieces:
            if piece and not self.transport.ended:
                self.client.data_received(piece)
                await turn()
        await turn(TURNS * 4)
        return self.transport.written

    async def close(self) -> None:
        self.transport.lose()
        await turn()
        await self.pool.close()


async def turn(count: int = TURNS) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
