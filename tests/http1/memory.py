"""The engine without sockets: bytes in, bytes out, in pieces that the test chooses.

`Memory` is a proxy whose client and upstream are strings of bytes: what the client sends is fed piece by piece, what
the upstream says is looked up by the request that reached it. Nothing waits for real time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import h11

from sidecar.http1.client import ClientConnection
from sidecar.http1.engine import Engine, Limits
from sidecar.http1.errors import End, ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import RequestPolicy
from sidecar.http1.pool import Pool
from sidecar.http1.upstream import Origin
from tests.http1.stage import PLAIN, refuse

TURNS = 12
"""Turns of the loop after each piece: enough for everything that follows from it without I/O."""


class MemoryTransport(asyncio.Transport):
    """Keeps what is written; `on_write` is told of each write."""

    def __init__(self, protocol: asyncio.Protocol, on_write: Callable[[bytes], None] | None = None) -> None:
        super().__init__(extra={"peername": ("192.0.2.7", 7)})
        self.written = b""
        self.reading = True
        self.ended = False
        self.dead_on_arrival = False
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
        if transport.dead_on_arrival:
            transport.lose()
        return transport, protocol


Answering = Callable[[h11.Request, bytes], Iterable[bytes]]
"""The pieces of an answer to a request; b"" as the last one closes the connection."""


class Upstream:
    """Answers each request that has wholly arrived; `connections` are the bytes that each connection received."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self._accepted: list[_Accepted] = []

    @property
    def connections(self) -> list[bytes]:
        return [accepted.transport.written for accepted in self._accepted]

    def accept(self, protocol: asyncio.Protocol) -> MemoryTransport:
        accepted = _Accepted(protocol, self._answer)
        self._accepted.append(accepted)
        return accepted.transport


class _Accepted:
    """The upstream's end of one connection: h11 says when a request is whole."""

    def __init__(self, protocol: asyncio.Protocol, answer: Answering) -> None:
        self.transport = MemoryTransport(protocol, self._read)
        self._protocol = protocol
        self._answer = answer
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 24)
        self._request: h11.Request | None = None
        self._body = b""

    def _read(self, data: bytes) -> None:
        self._parser.receive_data(data)
        asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        while isinstance(event := self._parser.next_event(), h11.Request | h11.Data | h11.EndOfMessage):
            if isinstance(event, h11.Request):
                self._request, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            else:
                assert self._request is not None
                self._speak(iter(self._answer(self._request, self._body)))
                # What h11 thinks was answered matters only for what it reads next.
                self._parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                self._parser.send(h11.EndOfMessage())
                if self._parser.our_state is not h11.DONE:
                    return
                self._parser.start_next_cycle()

    def _speak(self, pieces: Iterator[bytes]) -> None:
        asyncio.get_running_loop().call_soon(self._say_next, pieces)

    def _say_next(self, pieces: Iterator[bytes]) -> None:
        piece = next(pieces, None)
        if piece is None or self.transport.ended:
            return
        if piece:
            self._protocol.data_received(piece)
            self._speak(pieces)
        else:
            self.transport.close()


class Memory:
    """One client connection of an engine in memory."""

    def __init__(
        self,
        handler: Callable[[Exchange], Awaitable[None]] | None = None,
        *,
        upstream: Upstream | None = None,
        accept: Callable[[asyncio.Protocol], MemoryTransport] | None = None,
        policy: RequestPolicy | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.policy = policy or PLAIN
        self.engine = Engine(limits or Limits(), refuse)
        self.engine.handler = handler or self.pass_on  # type: ignore[assignment]  # A coroutine function is one.
        if upstream is not None:
            self.engine.loop = MemoryLoop(accept or upstream.accept)  # type: ignore[assignment]  # What the engine uses of it.
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
        end = exchange.relay(via=self.policy.via) or await exchange.ended()
        if end is End.COMPLETE:
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
