"""A body of any size passes in constant memory, however slow the side that reads it."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.http1.engine import Limits
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Upstream, head

MIB = 1 << 20
SIZE = 256 * MIB
PIECE = b"\0" * (256 * 1024)
GROWTH_MAX_BYTES = 48 * MIB
IN_FLIGHT_MAX_BYTES = 32 * MIB
"""What the kernel, the test's own streams and we may hold together; our part is half a MiB."""

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


@contextlib.asynccontextmanager
async def constant_memory() -> AsyncIterator[None]:
    """Looks at this process's resident memory all the while: both ends and the proxy live in it."""
    loop = asyncio.get_running_loop()
    over = False
    before = most = resident_bytes()

    def look() -> None:
        nonlocal most
        most = max(most, resident_bytes())
        if not over:
            loop.call_later(0.005, look)

    look()
    try:
        yield
    finally:
        over = True
    assert most - before < GROWTH_MAX_BYTES


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_an_answer_waits_for_its_reader(chunked: bool) -> None:
    sent = 0

    async def script(played: Played) -> None:
        nonlocal sent
        framing = ("transfer-encoding", "chunked") if chunked else ("content-length", str(SIZE))
        await played.send(head(200, framing))
        while sent < SIZE:
            await played.send(b"40000\r\n%b\r\n" % PIECE if chunked else PIECE)
            sent += len(PIECE)
        if chunked:
            await played.send(b"0\r\n\r\n")

    async with (
        Upstream(script) as upstream,
        Stage(upstream.port) as stage,
        RawClient(stage.port, receive_buffer_bytes=65_536) as client,
        constant_memory(),
    ):
        await client.send(request("GET", "/"))
        await until(lambda: any(one.paused for one in stage.engine.connections), "the client's buffers to be full")
        assert sent < IN_FLIGHT_MAX_BYTES
        await client.receive(until=b"\r\n\r\n")
        await client.skip(SIZE)
        if chunked:
            await client.receive(until=b"\r\n0\r\n\r\n")


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
async def test_a_request_waits_for_its_reader(chunked: bool) -> None:
    gate = Gate()
    sent = 0

    async def script(played: Played) -> None:
        await gate.pause()
        taken = 0
        while taken < SIZE:
            piece = await played._reader.read(MIB)
            assert piece
            taken += len(piece)
        played.request.complete = True
        await played.send(head(200, ("content-length", "0")))
        played.close()

    async def send(client: RawClient) -> None:
        nonlocal sent
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(SIZE))
        await client.send(request("POST", "/", framing))
        while sent < SIZE:
            await client.send(b"40000\r\n%b\r\n" % PIECE if chunked else PIECE)
            sent += len(PIECE)
        if chunked:
            await client.send(b"0\r\n\r\n")

    async with (
        Upstream(script, receive_buffer_bytes=65_536) as upstream,
        Stage(upstream.port, limits=Limits(body_max_bytes=2 * SIZE)) as stage,
        RawClient(stage.port) as client,
        constant_memory(),
    ):
        sending = asyncio.ensure_future(send(client))
        await gate.reached()
        await until(lambda: stage.engine.connections and paused(stage), "the upstream's buffers to be full")
        assert sent < IN_FLIGHT_MAX_BYTES
        gate.open()
        assert (await client.answer()).status == 200
        sending.cancel()


def paused(stage: Stage) -> bool:
    """Whether no client's body is read at the moment."""
    return all(not connection.reads_body for connection in stage.engine.connections)


async def test_a_body_that_the_handler_has_not_asked_for_waits_with_the_client() -> None:
    gate = Gate()

    async def handler(exchange: Exchange) -> None:
        await gate.pause()
        await stage.pass_on(exchange)

    body = PIECE * 64
    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        sending = asyncio.ensure_future(client.send(request("POST", "/", body=body)))
        await gate.reached()
        await until(lambda: paused(stage), "reading to be paused")
        assert stage.exchanges[0].request_bytes < MIB
        gate.open()
        assert (await client.answer()).status == 200
        await sending
        assert upstream.requests[0].body == body


async def test_an_answer_that_comes_before_it_is_relayed_waits_with_the_upstream() -> None:
    gate = Gate()
    sent = 0

    async def script(played: Played) -> None:
        nonlocal sent
        await played.send(head(200, ("content-length", str(64 * len(PIECE)))))
        for _ in range(64):
            await played.send(PIECE)
            sent += len(PIECE)

    async def handler(exchange: Exchange) -> None:
        await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
        await gate.pause()
        exchange.relay() or await exchange.ended()
        exchange.finish()

    async with (
        Upstream(script) as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        await gate.reached()
        await until(lambda: stage.exchanges[0].response_bytes > len(PIECE), "an early answer")
        assert stage.exchanges[0].response_bytes < 2 * MIB
        gate.open()
        assert len((await client.answer()).body) == 64 * len(PIECE)


async def test_what_was_read_ahead_can_fill_the_upstream_at_once() -> None:
    gate = Gate()

    async def handler(exchange: Exchange) -> None:
        assert await exchange.read_body(16 * MIB) is None
        await stage.pass_on(exchange)

    async def script(played: Played) -> None:
        await gate.pause()
        tail = b""
        while not tail.endswith(b"\r\n0\r\n\r\n"):
            tail = tail[-7:] + await played._reader.read(MIB)
        played.request.complete = True
        await played.send(head(200, ("content-length", "0")))

    async with (
        Upstream(script, receive_buffer_bytes=65_536) as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        pieces = [b"40000\r\n%b\r\n" % PIECE] * 256
        framing = ("Transfer-Encoding", "chunked")
        sending = asyncio.ensure_future(client.send(request("POST", "/", framing), *pieces, b"0\r\n\r\n"))
        await upstream.arrived(1)
        await until(lambda: paused(stage), "reading to be paused again")
        assert stage.exchanges[0].request_bytes < 24 * MIB
        gate.open()
        assert (await client.answer()).status == 200
        await sending
        assert stage.exchanges[0].request_bytes == 256 * len(PIECE)
