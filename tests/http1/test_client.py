"""Connections of clients: keep-alive, pipelining, what is refused before a handler sees it, and lingering."""

import asyncio

import pytest

from sidecar.http1.client import ClientConnection
from sidecar.http1.engine import Limits
from sidecar.http1.errors import End
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Upstream, answers, head, says


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
    body = b"z" * 4_000_000
    async with (
        Upstream(answers(body)) as upstream,
        Stage(upstream.port) as stage,
        RawClient(stage.port, receive_buffer_bytes=4096) as client,
    ):
        await client.send(request("GET", "/") * 4)
        connection = await first_connection(stage)
        await until(lambda: connection.paused, "the client's buffers to be full")
        for _ in range(4):
            await client.receive(until=b"\r\n\r\n")
            await client.skip(len(body))


async def test_the_rest_of_a_short_body_is_dropped_and_the_connection_kept() -> None:
    async with Upstream() as upstream, Stage(upstream.port, handler=say_no) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", ("Content-Length", "5")))
        assert (await client.answer()).get("connection") is None
        await client.send(b"GET /", request("GET", "/next"))
        assert (await client.answer()).status == 403
        await until(lambda: not stage.exchanges[1].head.length, "the next request")
        assert [exchange.head.target for exchange in stage.exchanges] == [b"/", b"/next"]
    assert upstream.requests == []


@pytest.mark.parametrize(
    "framing", [("Content-Length", "9000000"), ("Transfer-Encoding", "chunked")], ids=["sized", "chunked"]
)
async def test_an_upload_that_is_refused_can_read_its_answer(framing: tuple[str, str]) -> None:
    async with Upstream() as upstream, Stage(upstream.port, handler=say_no) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", framing), *[b"400\r\n" + b"x" * 1024 + b"\r\n"] * 3000)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (403, "close")
        assert await client.ended() == b""


async def test_a_refused_upload_whose_rest_is_malformed_keeps_its_answer() -> None:
    async with Upstream() as upstream, Stage(upstream.port, handler=say_no) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", ("Transfer-Encoding", "chunked")) + b"5\r\nhello\r\n")
        await until(lambda: stage.exchanges, "the request")
        await client.send(b"no size\r\n", b"y" * 100_000)
        assert (await client.answer()).status == 403


async def test_what_follows_connection_close_is_not_a_request() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/first", ("Connection", "close")) + request("GET", "/second"))
        assert (await client.answer()).get("connection") == "close"
        assert await client.ended() == b""
        assert [received.target for received in upstream.requests] == [b"/first"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request("GET", "/" + "a" * 300), 414),
        (request("GET", "/", ("X-Long", "a" * 1100)), 431),
        (request("GET", "/", *[("X-Many", "a")] * 20), 431),
        (request("POST", "/", ("Content-Length", "101")), 413),
        (request("POST", "/", ("Transfer-Encoding", "chunked")) + b"65\r\n" + b"a" * 101, 413),
    ],
    ids=["request line", "head", "fields", "length", "chunks"],
)
async def test_limits(raw: bytes, status: int) -> None:
    limits = Limits(request_line_max_bytes=256, head_max_bytes=1024, headers_max=16, body_max_bytes=100)
    async with Upstream() as upstream, Stage(upstream.port, limits=limits) as stage, RawClient(stage.port) as client:
        await client.send(raw)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (status, "close")
    assert not any(received.complete for received in upstream.requests)


async def test_a_body_at_its_limit_passes() -> None:
    async with Upstream(echo) as upstream, Stage(upstream.port, limits=Limits(body_max_bytes=100)) as stage:
        assert (await fetch(stage.port, "POST", "/", body=b"a" * 100)).body == b"/ " + b"a" * 100


async def test_one_client_too_many_is_told_so() -> None:
    limits = Limits(client_connections_max=1)
    async with Upstream() as upstream, Stage(upstream.port, limits=limits) as stage, RawClient(stage.port) as first:
        await first.send(request("GET", "/"))
        assert (await first.answer()).status == 200
        async with RawClient(stage.port) as second:
            answer = await second.answer()
            assert (answer.status, answer.get("x-code")) == (503, "too_many_connections")
            await second.ended()
        await first.send(request("GET", "/"))
        assert (await first.answer()).status == 200


async def test_a_head_that_never_ends_is_answered_408() -> None:
    async with (
        Upstream() as upstream,
        Stage(upstream.port, limits=Limits(client_head_s=0.1)) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(b"GET / HTTP/1.1\r\nHost:")
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (408, "close")


async def test_a_silent_connection_is_closed_without_a_word() -> None:
    async with (
        Upstream() as upstream,
        Stage(upstream.port, limits=Limits(client_idle_s=0.1)) as stage,
        RawClient(stage.port) as client,
    ):
        assert await client.ended() == b""


async def test_a_body_that_stops_is_answered_408() -> None:
    limits = Limits(client_idle_s=0.1)
    async with Upstream() as upstream, Stage(upstream.port, limits=limits) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", ("Content-Length", "9")) + b"half")
        answer = await client.answer()
        assert (answer.status, answer.get("x-code"), answer.get("connection")) == (408, "request_timed_out", "close")
        await client.ended()
        await upstream.arrived(1)
    assert stage.ends == [End.CLIENT_BROKE]


async def test_a_client_that_stops_reading_is_given_up() -> None:
    limits = Limits(client_idle_s=0.2)
    async with (
        Upstream(answers(b"z" * 30_000_000)) as upstream,
        Stage(upstream.port, limits=limits) as stage,
        RawClient(stage.port, receive_buffer_bytes=4096) as client,
    ):
        await client.send(request("GET", "/"))
        connection = await first_connection(stage)
        await until(lambda: connection.gone, "the connection to be given up")
    assert stage.ends == [End.CLIENT_GONE]


async def test_the_end_of_an_answer_that_nobody_reads_does_not_keep_the_connection() -> None:
    limits = Limits(client_idle_s=0.2)

    async def handler(exchange: Exchange) -> None:
        exchange.answer(200, b"OK", (), b"z" * 30_000_000)

    async with (
        Upstream() as upstream,
        Stage(upstream.port, limits=limits, handler=handler) as stage,
        RawClient(stage.port, receive_buffer_bytes=4096) as client,
    ):
        await client.send(request("GET", "/", ("Connection", "close")))
        connection = await first_connection(stage)
        await until(lambda: connection.gone, "the connection to be given up")


async def test_empty_lines_before_a_request_are_ignored() -> None:
    async with Upstream(echo) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"\r\n" * 50_000, b"\r", b"\n" + request("GET", "/a") + b"\r\n" + request("GET", "/b"))
        assert (await client.answer()).body == b"/a "
        assert (await client.answer()).body == b"/b "


async def test_a_client_that_speaks_without_cr_is_told_at_once() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"GET / HTTP/1.1\nHost: a\n\n")
        assert (await client.answer()).status == 400


async def test_http_1_0_is_answered_and_closed() -> None:
    script = says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n\r\n")
        raw = await client.ended()
    assert raw == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    assert upstream.requests[0].version == b"HTTP/1.1"


async def test_an_http_1_0_client_sees_that_an_answer_was_cut() -> None:
    gate = Gate()

    async def script(played: Played) -> None:
        await played.send(head(200, ("transfer-encoding", "chunked")) + b"3\r\nabc\r\n")
        await gate.pause()
        played.reset()

    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.receive(until=b"abc")
        gate.open()
        with pytest.raises(ConnectionResetError):
            await client.receive(until=b"the rest")


async def first_connection(stage: Stage) -> ClientConnection:
    await until(lambda: stage.engine.connections, "a connection")
    return next(iter(stage.engine.connections))
