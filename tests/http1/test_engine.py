"""What all connections share: the drain at shutdown, and deadlines that are kept by a tick."""

import asyncio

from sidecar.http1.engine import Limits
from sidecar.http1.errors import End
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Script, Upstream, chunk, head

CHUNKED = ("Transfer-Encoding", "chunked")


def gated(gate: Gate) -> Script:
    """Half an answer, then nothing until the test says so."""

    async def script(played: Played) -> None:
        await played.body()
        await played.send(head(200, CHUNKED), chunk(b"half"))
        await gate.pause()
        await played.send(chunk(b"rest"), chunk(b""))

    return script


async def test_drain_closes_idle_connections_and_lets_answers_finish() -> None:
    gate = Gate()
    async with (
        Upstream(gated(gate)) as upstream,
        Stage(upstream.port) as stage,
        RawClient(stage.port) as idle,
        RawClient(stage.port) as half,
        RawClient(stage.port) as busy,
    ):
        await half.send(b"GET / HTT")
        await busy.send(request("GET", "/1") + request("GET", "/2"))
        await busy.receive(until=b"half\r\n")
        await until(lambda: len(stage.engine.connections) == 3, "three connections")
        draining = asyncio.ensure_future(stage.engine.drain(20))
        assert await idle.ended() == b""
        assert await half.ended() == b""
        gate.open()
        assert b"rest\r\n0\r\n\r\n" in await busy.receive(until=b"0\r\n\r\n")
        assert await draining
        rest = await busy.ended()
        # The second request had been taken in; it is answered, and told that it is the last.
        assert rest == b"" or b"Connection: close" in rest


async def test_an_answer_that_begins_while_draining_says_close() -> None:
    gate = Gate()

    async def handler(exchange: Exchange) -> None:
        await gate.pause()
        await stage.pass_on(exchange)

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        await gate.reached()
        draining = asyncio.ensure_future(stage.engine.drain(20))
        await asyncio.sleep(0)
        gate.open()
        assert (await client.answer()).get("connection") == "close"
        assert await draining


async def test_drain_cuts_what_takes_too_long_and_waits_for_handlers() -> None:
    gate = Gate()
    async with Upstream(gated(gate)) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/"))
        await client.receive(until=b"half\r\n")
        assert not await stage.engine.drain(0.05)
        assert stage.engine.running == 0
        assert b"0\r\n\r\n" not in await client.ended()
    assert stage.ends == [End.CUT]


async def test_a_second_drain_cuts_at_once() -> None:
    gate = Gate()
    async with Upstream(gated(gate)) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/"))
        await client.receive(until=b"half\r\n")
        patient = asyncio.ensure_future(stage.engine.drain(20))
        await asyncio.sleep(0)
        assert not await stage.engine.drain(0)
        await patient
        await client.ended()


async def test_what_is_cut_before_it_was_answered_is_told_503() -> None:
    gate = Gate()

    async def script(played: Played) -> None:
        await gate.pause()

    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", body=b"x"))
        await gate.reached()
        assert not await stage.engine.drain(0)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (503, "close")
        gate.open()


async def test_a_client_that_does_not_read_its_last_answer_cannot_hold_up_a_drain() -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.answer(200, b"OK", (), b"z" * 30_000_000)

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler, limits=Limits(client_idle_s=0.1)) as stage,
        RawClient(stage.port, receive_buffer_bytes=4096) as client,
    ):
        await client.send(request("GET", "/"))
        await until(lambda: stage.exchanges, "the request")
        assert await stage.engine.drain(20)
        await until(lambda: not stage.engine.connections, "the connection to be given up")


async def test_counts() -> None:
    gate = Gate()
    async with Upstream(gated(gate)) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/"))
        await client.receive(until=b"half\r\n")
        assert (stage.engine.running, stage.engine.requests_total) == (1, 1)
        assert (stage.pool.size, stage.pool.idle) == (1, 0)
        gate.open()
        await client.receive(until=b"0\r\n\r\n")
        assert (stage.engine.running, stage.pool.idle) == (0, 1)
