"""The story that a handler's coroutine is told, how it is driven, and clients that go in the middle of it."""

import asyncio

import pytest

from sidecar.http1.errors import End, Failure, Phase
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Handler, Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Upstream, chunk, head

CHUNKED = ("Transfer-Encoding", "chunked")


# --- How the coroutine is driven ----------------------------------------------------------------------------------


async def test_a_handler_may_await_futures_done_and_not_and_give_way() -> None:
    async def handler(exchange: Exchange) -> None:
        done = exchange._engine.loop.create_future()
        done.set_result(1)
        assert await done == 1
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        assert await asyncio.ensure_future(asyncio.sleep(0.001, 2)) == 2
        first, _ = await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0, 3))})
        assert first.pop().result() == 3
        await stage.pass_on(exchange)

    async with Upstream() as upstream, Stage(upstream.port, handler=handler) as stage:
        assert (await fetch(stage.port, "GET", "/")).status == 200


class Boom(Exception):
    pass


async def fails_at_once(exchange: Exchange) -> None:
    raise Boom


async def fails_later(exchange: Exchange) -> None:
    await asyncio.sleep(0.001)
    raise Boom


async def awaits_what_fails(exchange: Exchange) -> None:
    future = exchange._engine.loop.create_future()
    exchange._engine.loop.call_soon(future.set_exception, Boom())
    await future


async def awaits_what_is_cancelled(exchange: Exchange) -> None:
    future = exchange._engine.loop.create_future()
    exchange._engine.loop.call_soon(future.cancel)
    await future


@pytest.mark.parametrize("handler", [fails_at_once, fails_later, awaits_what_fails, awaits_what_is_cancelled])
async def test_a_handler_that_fails_is_500_and_only_its_own_request(
    handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        answer = await client.answer()
        assert (answer.status, answer.get("x-code")) == (500, "internal")
        assert "the handler of a request failed" in caplog.text
        stage.handler = stage.pass_on
        await client.send(request("GET", "/"))
        assert (await client.answer()).status == 200


async def test_a_handler_that_fails_in_the_middle_of_an_answer_cuts_it(caplog: pytest.LogCaptureFixture) -> None:
    def through(piece: bytes) -> bytes:
        if piece == b"bad":
            raise Boom
        return piece

    async def handler(exchange: Exchange) -> None:
        assert not isinstance(await exchange.forward(stage.pool, stage.policy, stage.policy.dropped()), Failure)
        try:
            exchange.relay(through=through)
            ended.append(await exchange.ended())
        finally:
            exchange.cut()

    gate = Gate()

    async def script(played: Played) -> None:
        await played.send(head(200, CHUNKED), chunk(b"good"))
        await gate.pause()
        await played.send(chunk(b"bad"))
        await played.gone()

    ended: list[End] = []
    async with Upstream(script) as upstream, Stage(upstream.port, handler=handler) as stage:
        async with RawClient(stage.port) as client:
            await client.send(request("GET", "/"))
            await client.receive(until=b"good\r\n")
            gate.open()
            assert b"0\r\n\r\n" not in await client.ended()
        await until(lambda: ended, "the end")


async def test_a_handler_that_answers_nothing_closes_the_connection() -> None:
    async def handler(exchange: Exchange) -> None:
        pass

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        assert await client.ended() == b""


async def test_what_is_kept_back_waits_for_finish_and_takes_late_fields() -> None:
    gate = Gate()

    async def handler(exchange: Exchange) -> None:
        await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
        exchange.relay(extra=b"x-early: 1\r\n") or await exchange.ended()
        await gate.pause()
        exchange.finish(b"x-late: 2\r\n")

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        await gate.reached()
        assert client._buffer == b""
        gate.open()
        answer = await client.answer()
        assert (answer.get("x-early"), answer.get("x-late"), answer.body) == ("1", "2", b"ok")


async def test_a_client_that_goes_while_the_end_waits_is_nobodys_problem() -> None:
    gate = Gate()

    async def handler(exchange: Exchange) -> None:
        await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
        exchange.relay() or await exchange.ended()
        await gate.pause()
        exchange.finish()

    async with Upstream() as upstream, Stage(upstream.port, handler=handler) as stage:
        async with RawClient(stage.port) as client:
            await client.send(request("GET", "/"))
            await gate.reached()
        await until(lambda: not stage.engine.connections, "the client to be gone")
        gate.open()
        await stage.quiet()
        assert stage.pool.idle == 1


# --- The client goes in each phase --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("phase", [Phase.REQUEST, Phase.CONNECT, Phase.HEAD, Phase.BODY])
async def test_a_client_that_goes(phase: Phase, how: str) -> None:
    gate = Gate()
    failures: list[Failure | None] = []

    async def handler(exchange: Exchange) -> None:
        if phase is Phase.REQUEST:
            await exchange.read_body(1000)
        elif phase is Phase.CONNECT:
            stage.pool.most = 0
        await stage.pass_on(exchange)
        failures.append(exchange.failure)

    async def script(played: Played) -> None:
        if phase is Phase.BODY:
            await played.send(head(200, CHUNKED), chunk(b"x"))
        await gate.pause()
        await played.gone()

    async with Upstream(script) as upstream, Stage(upstream.port, handler=handler) as stage:
        async with RawClient(stage.port) as client:
            fields = [("Content-Length", "9")] if phase is Phase.REQUEST else []
            await client.send(request("POST", "/", *fields))
            await until(lambda: stage.exchanges, "the request")
            if phase in (Phase.HEAD, Phase.BODY):
                await gate.reached()
            if phase is Phase.BODY:
                await client.receive(until=b"x\r\n")
            if how == "reset":
                client.reset()
        await until(lambda: failures, "the handler")
        gate.open()
        failure = failures[0]
        assert failure is not None
        assert (failure.end, failure.phase) == (End.CLIENT_GONE, phase)
        assert failure.dispatched == (phase in (Phase.HEAD, Phase.BODY))
        assert not stage.pool._waiting


async def test_a_client_that_goes_while_the_handler_is_busy_elsewhere() -> None:
    """As when the store is asked: nothing is sent for a client that is no longer there."""
    gate = Gate()

    async def handler(exchange: Exchange) -> None:
        await gate.pause()
        await stage.pass_on(exchange)

    async with Upstream() as upstream, Stage(upstream.port, handler=handler) as stage:
        async with RawClient(stage.port) as client:
            await client.send(request("POST", "/", body=b"x"))
            await gate.reached()
        await until(lambda: not stage.engine.connections, "the client to be gone")
        gate.open()
        await stage.quiet()
        assert upstream.requests == []
    assert stage.failures[0].phase is Phase.REQUEST
    assert not stage.failures[0].dispatched


async def test_an_upstream_that_goes_in_the_middle_of_an_upload_is_502() -> None:
    async def script(played: Played) -> None:
        await played.read(10)
        played.reset()

    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", ("Content-Length", "9000000")), b"x" * 100_000)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (502, "close")
        await client.send(b"y" * 100_000)
        await client.ended()
    assert stage.ends == [End.UPSTREAM_FAILED]
