"""Connections of clients: keep-alive, pipelining, what is refused before a handler sees it, and lingering."""

import asyncio

import pytest

from sidecar.http1.engine import Limits
from sidecar.http1.errors import End
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Gate, Upstream, answers, head, says
from tests.support.upstream import Exchange as Played


async def say_no(exchange: Exchange) -> None:
    exchange.answer(403, b"Forbidden", (), b"no" * 1000)


async def echo(played: Played) -> None:
    """Answers with the target, so that an answer shows which request it belongs to."""
    body = await played.body()
    said = played.request.target + b" " + body
    await played.send(head(200, ("content-length", str(len(said)))) + said)


async def test_one_connection_carries_many_requests_and_reuses_one_upstream_connection() -> None:
    async with Upstream(echo) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        for number in range(5):
            await client.send(request("POST", f"/{number}", body=b"x"))
            assert (await client.answer()).body == b"/%d x" % number
    assert upstream.connections == 1


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with Upstream(echo) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"".join(request("POST", f"/{number}", body=b"b" * number) for number in range(20)))
        for number in range(20):
            assert (await client.answer()).body == b"/%d " % number + b"b" * number
    assert [received.target for received in upstream.requests] == [b"/%d" % number for number in range(20)]


async def test_thousands_of_pipelined_requests_that_are_refused_at_once_do_not_nest() -> None:
    async with Upstream() as upstream, Stage(upstream.port, handler=say_no) as stage, RawClient(stage.port) as client:
        sending = asyncio.ensure_future(client.send(request("GET", "/") * 3000))
        for _ in range(3000):
            assert (await client.answer()).status == 403
        await sending
    assert stage.engine.requests_total == 3000


async def test_a_client_that_pipelines_and_never_reads_is_not_answered_into_memory() -> None:
    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=say_no, limits=Limits(client_idle_s=0.3)) as stage,
        RawClient(stage.port, receive_buffer_bytes=4096) as client,
    ):
        sending = asyncio.ensure_future(client.send(*[request("GET", "/") * 1000] * 50))
        connection = await first_connection(stage)
        await until(lambda: connection.paused, "the client's buffers to be full")
        began = stage.engine.requests_total
        await until(lambda: connection.gone, "the connection to be given up")
        assert stage.engine.requests_total - began < 100
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_slow_reader_of_pipelined_answers_gets_them_all() -> None:
    body = b"z" * 300_000
    async with (
        Upstream(answers(body)) as upstream,
        Stage(upstream.port) as stage,
        RawClient(stage.port, receive_buffer_bytes=4096) as client,
    ):
        await client.send(request("GET", "/") * 8)
        connection = await first_connection(stage)
        await until(lambda: connection.paused, "the client's buffers to be full")
        for _ in range(8):
            assert (await client.answer()).body == body


async def first_connection(stage: Stage):  # type: ignore[no-untyped-def]  # noqa: ANN201
    await until(lambda: stage.engine.connections, "a connection")
    return next(iter(stage.engine.connections))
