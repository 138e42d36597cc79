"""How a handler's coroutine is driven by hand: futures, giving way, errors."""

import asyncio

import pytest

from sidecar.http1.errors import End, Failure
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Handler, Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Upstream, chunk, head

CHUNKED = ("Transfer-Encoding", "chunked")


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
