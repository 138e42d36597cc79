"""Orders of events that sockets produce once in a million: made to happen, in memory."""

import asyncio

import pytest

from sidecar.http1.client import ClientConnection
from sidecar.http1.exchange import Exchange
from tests.http1.memory import Memory, MemoryTransport, Upstream, turn
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, head
from tests.support.upstream import Upstream as Behind

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_an_upstream_paused_by_an_interim_answer_is_read_again_for_the_next_request() -> None:
    upstream = Upstream(lambda *_: [b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK])
    memory = Memory(upstream=upstream)

    def fill_up(data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 103"):
            memory.client.pause_writing()

    memory.transport = MemoryTransport(memory.client, fill_up)
    memory.client.connection_made(memory.transport)
    await memory.feed([GET])
    memory.client.resume_writing()
    await memory.feed([GET])
    memory.client.resume_writing()
    await turn()
    assert memory.transport.written.count(b"ok") == 2
    assert [connection.count(b"GET") for connection in upstream.connections] == [2]
    await memory.close()


async def test_a_connection_that_dies_between_two_requests_costs_neither() -> None:
    """One waits for the connection of the other; it is handed over, and gone before it is used."""
    protocols: list[tuple[asyncio.Protocol, MemoryTransport]] = []
    upstream = Upstream(lambda *_: [] if len(protocols) == 1 else [OK])

    def accept(protocol: asyncio.Protocol) -> MemoryTransport:
        transport = upstream.accept(protocol)
        protocols.append((protocol, transport))
        return transport

    memory = Memory(upstream=upstream, accept=accept)
    memory.pool.most = 1
    await memory.feed([GET])
    second = ClientConnection(memory.engine)
    transport = MemoryTransport(second)
    second.connection_made(transport)
    second.data_received(GET.replace(b"GET", b"POST"))
    await turn()
    protocol, wire = protocols[0]
    protocol.data_received(OK)
    protocol.eof_received()
    wire.lose()
    await turn(50)
    assert memory.transport.written.endswith(b"ok")
    assert transport.written.endswith(b"ok")
    assert len(protocols) == 2
    assert memory.pool.size == 1
    transport.lose()
    await memory.close()


async def test_a_connection_that_is_dead_on_arrival_is_a_failure_to_connect() -> None:
    upstream = Upstream(lambda *_: [OK])

    def accept(protocol: asyncio.Protocol) -> MemoryTransport:
        transport = upstream.accept(protocol)
        transport.dead_on_arrival = True
        return transport

    memory = Memory(upstream=upstream, accept=accept)
    written = await memory.feed([GET])
    assert written.startswith(b"HTTP/1.1 502 ")
    assert memory.pool.size == 0
    await memory.close()


async def test_a_rewritten_answer_that_breaks_is_seen_to_break_in_http_1_0() -> None:
    """It has lost its length, so only a reset tells its end from a cut."""
    gate = Gate()

    async def script(played: Played) -> None:
        await played.send(head(200, ("content-length", "9")) + b"abc")
        await gate.pause()
        played.reset()

    async def handler(exchange: Exchange) -> None:
        await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
        exchange.relay(through=bytes.upper, rewrites=True) or await exchange.ended()
        exchange.cut()

    async with (
        Behind(script) as behind,
        Stage(behind.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.receive(until=b"ABC")
        gate.open()
        with pytest.raises(ConnectionResetError):
            await client.receive(until=b"the rest")
