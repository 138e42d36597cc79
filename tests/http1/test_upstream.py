"""The pool and the answers of upstreams: what is reused, what is sent again, and every way in which they can fail."""

import asyncio
import contextlib

import pytest

from sidecar.http1.engine import Limits
from sidecar.http1.errors import End, Phase
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.process import refusing_port
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Script, Upstream, answers, chunk, head, says

OK = head(200, ("content-length", "2")) + b"ok"


async def stale(stage: Stage, upstream: Upstream) -> None:
    """Leave a connection in the pool that the upstream will give up when the next request comes on it."""
    upstream.once(answers(), says(then="reset"))
    assert (await fetch(stage.port, "GET", "/")).status == 200
    assert stage.pool.idle == 1


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_an_idempotent_request_is_sent_again_when_its_used_connection_was_dead(method: str) -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage:
        await stale(stage, upstream)
        async with RawClient(stage.port) as client:
            await client.send(request(method, "/again"))
            assert (await client.answer(method)).status == 200
        assert [received.target for received in upstream.requests] == [b"/", b"/again", b"/again"]
        assert upstream.connections == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_is_not_idempotent_is_never_sent_twice(method: str) -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage:
        await stale(stage, upstream)
        assert (await fetch(stage.port, method, "/once", body=b"x")).status == 502
        assert [received.target for received in upstream.requests] == [b"/", b"/once"]
    assert stage.failures[0].dispatched


async def test_a_request_is_sent_again_only_once() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage:
        await stale(stage, upstream)
        upstream.once(says(then="reset"))
        assert (await fetch(stage.port, "GET", "/")).status == 502
        assert len(upstream.requests) == 3


async def test_nothing_is_sent_again_once_an_answer_has_begun() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage:
        upstream.once(answers(), says(b"HTTP/1.1 200 OK\r\nconte", then="reset"))
        await fetch(stage.port, "GET", "/")
        assert (await fetch(stage.port, "GET", "/")).status == 502
        assert len(upstream.requests) == 2


async def test_a_connection_that_the_upstream_closed_while_idle_is_not_used() -> None:
    async with Upstream(says(OK, then="close")) as upstream, Stage(upstream.port) as stage:
        for _ in range(5):
            assert (await fetch(stage.port, "POST", "/", body=b"x")).status == 200
            await until(lambda: stage.pool.size == 0, "the closed connection to be forgotten")
        assert upstream.connections == 5


async def test_idle_connections_are_limited_in_number_and_time() -> None:
    gate = Gate()

    async def script(played: Played) -> None:
        await gate.pause()
        await played.send(OK)

    async with (
        Upstream(script) as upstream,
        Stage(upstream.port, idle_max=2, idle_timeout_s=0.1) as stage,
        contextlib.AsyncExitStack() as clients,
    ):
        sent = [await clients.enter_async_context(RawClient(stage.port)) for _ in range(5)]
        for client in sent:
            await client.send(request("GET", "/"))
        await gate.reached(5)
        gate.open()
        for client in sent:
            assert (await client.answer()).status == 200
        assert stage.pool.idle <= 2
        await until(lambda: stage.pool.size == 0, "idle connections to be closed")


async def test_requests_beyond_the_most_connections_wait_for_one() -> None:
    gate = Gate()

    async def script(played: Played) -> None:
        await gate.pause()
        await played.send(OK)

    async with (
        Upstream(script) as upstream,
        Stage(upstream.port, connections_max=2) as stage,
        contextlib.AsyncExitStack() as clients,
    ):
        sent = [await clients.enter_async_context(RawClient(stage.port)) for _ in range(6)]
        for client in sent:
            await client.send(request("GET", "/"))
        await gate.reached(2)
        await until(lambda: stage.engine.running == 6, "all requests to be waiting")
        assert upstream.connections == 2
        gate.open()
        for client in sent:
            assert (await client.answer()).status == 200
        assert upstream.connections == 2


async def test_who_waits_for_a_connection_too_long_is_told_and_forgotten() -> None:
    gate = Gate()

    async def script(played: Played) -> None:
        await gate.pause()
        await played.send(OK)

    async with (
        Upstream(script) as upstream,
        Stage(upstream.port, connections_max=1, limits=Limits(connect_s=0.1)) as stage,
        RawClient(stage.port) as first,
    ):
        await first.send(request("GET", "/"))
        await gate.reached()
        assert (await fetch(stage.port, "GET", "/")).status == 504
        assert not stage.pool._waiting
        gate.open()
        assert (await first.answer()).status == 200
    assert not stage.failures[0].dispatched


async def test_all_who_wait_for_a_connection_that_fails_are_told() -> None:
    with refusing_port() as port:
        async with Stage(port, connections_max=1) as stage, contextlib.AsyncExitStack() as clients:
            sent = [await clients.enter_async_context(RawClient(stage.port)) for _ in range(5)]
            for client in sent:
                await client.send(request("GET", "/"))
            for client in sent:
                assert (await client.answer()).status == 502
    assert {(failure.phase, failure.dispatched) for failure in stage.failures} == {(Phase.CONNECT, False)}
    assert "cannot be reached: " in stage.failures[0].detail


async def test_a_name_that_does_not_resolve_is_a_failure_to_connect() -> None:
    for name in ("no-such-host.invalid", "a" * 70 + ".invalid"):
        async with Stage(80, host=name) as stage:
            assert (await fetch(stage.port, "GET", "/")).status == 502
            assert stage.failures[0].phase is Phase.CONNECT


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_connecting_is_given_up_in_time() -> None:
    """A listener that accepts nothing: its backlog is full, so that the handshake never ends."""
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, backlog=0)
    listener.get_loop().remove_reader(listener.sockets[0].fileno())
    port = listener.sockets[0].getsockname()[1]
    async with contextlib.AsyncExitStack() as full, Stage(port, limits=Limits(connect_s=0.1)) as stage:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while True:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    full.callback(writer.close)
        assert (await fetch(stage.port, "GET", "/")).status == 504
        assert stage.failures[0].phase is Phase.CONNECT
    listener.close()


async def quiet(played: Played) -> None:
    await played.gone()


async def half(played: Played) -> None:
    await played.body()
    await played.send(head(200, ("content-length", "9")) + b"half")
    await played.gone()


@pytest.mark.parametrize(
    ("limits", "script", "phase"),
    [
        (Limits(head_s=0.1), quiet, Phase.HEAD),
        (Limits(idle_s=0.1), half, Phase.BODY),
        (Limits(total_s=0.1), quiet, Phase.HEAD),
        (Limits(total_s=0.1), half, Phase.BODY),
    ],
    ids=["head", "idle", "total before the head", "total in the body"],
)
async def test_an_upstream_that_takes_too_long(limits: Limits, script: Script, phase: Phase) -> None:
    async with Upstream(script) as upstream, Stage(upstream.port, limits=limits) as stage:
        async with RawClient(stage.port) as client:
            await client.send(request("GET", "/"))
            raw = await client.ended() if phase is Phase.BODY else (await client.answer()).raw
        assert raw.startswith(b"HTTP/1.1 200" if phase is Phase.BODY else b"HTTP/1.1 504")
        await until(lambda: stage.ends == [End.TIMED_OUT], "the end")
        assert stage.exchanges[0].failure is not None
        assert stage.exchanges[0].failure.phase is phase


@pytest.mark.parametrize(
    "tail",
    [
        b"garbage",
        b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret",
    ],
    ids=["garbage", "a whole answer"],
)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "later"])
async def test_bytes_after_an_answer_reach_nobody(tail: bytes, late: bool) -> None:
    gate = Gate()

    async def script(played: Played) -> None:
        if late:
            await played.send(OK)
            await gate.pause()
            await played.send(tail)
        else:
            await played.send(OK + tail)

    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        upstream.once(script)
        await client.send(request("GET", "/"))
        assert (await client.answer()).body == b"ok"
        gate.open()
        await until(lambda: stage.pool.size == 0, "the connection to be given up")
        await client.send(request("GET", "/"))
        assert (await client.answer()).body == b"ok"
        assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
async def test_a_connection_that_may_owe_a_body_is_not_reused(answer: bytes) -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        upstream.once(says(answer))
        await client.send(request("GET", "/"))
        assert (await client.answer()).body == b""
        assert stage.pool.size == 0


async def test_a_body_that_an_upstream_may_overlook_is_the_last_thing_on_its_connection() -> None:
    """CL.0: the body of a GET, left unread, would be the next request on the connection, whosever it is."""
    smuggled = request("GET", "/smuggled")
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        for method in ("GET", "HEAD", "OPTIONS"):
            await client.send(request(method, "/", body=smuggled))
            assert (await client.answer(method)).status == 200
            assert stage.pool.size == 0
        await client.send(request("GET", "/", body=b"") + request("POST", "/", body=smuggled))
        for _ in range(2):
            assert (await client.answer()).status == 200
        assert upstream.connections == 4


async def test_an_early_answer_ends_the_request_and_both_connections() -> None:
    async def script(played: Played) -> None:
        await played.send(head(413, ("content-length", "4")) + b"full")
        await played.gone()

    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", ("Content-Length", "90000000")), *[b"x" * 65_536] * 40)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.get("connection")) == (413, b"full", "close")
        await client.ended()
        assert stage.pool.size == 0
    assert stage.ends == [End.COMPLETE]


async def test_both_bodies_can_flow_at_once() -> None:
    async def script(played: Played) -> None:
        await played.send(head(200, ("transfer-encoding", "chunked")))
        for _ in range(3):
            await played.send(chunk(await played.read(100)))
        await played.send(chunk(b""))

    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", ("Transfer-Encoding", "chunked")))
        await client.receive(until=b"\r\n\r\n")
        for word in (b"one", b"two", b"three"):
            await client.send(chunk(word))
            assert chunk(word) in await client.receive(until=word + b"\r\n\r\n")


async def test_a_close_delimited_answer_becomes_chunked() -> None:
    script = says(b"HTTP/1.0 200 OK\r\n\r\n", b"one", b"two", then="close")
    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/"))
        answer = await client.answer()
        assert (answer.body, answer.get("transfer-encoding"), answer.get("connection")) == (
            b"onetwo",
            "chunked",
            None,
        )
        assert stage.pool.size == 0


async def test_connections_that_died_on_arrival_do_not_use_up_the_pool() -> None:
    """Whatever the timing, the pool recovers and its count is right."""

    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_server(slam, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with Stage(port, connections_max=2) as stage:
        for _ in range(20):
            assert (await fetch(stage.port, "POST", "/", body=b"x")).status == 502
        await until(lambda: stage.pool.size == 0, "the pool to be empty")
    server.close()


async def test_an_upstream_that_answers_and_still_reads_is_not_reused_while_bytes_wait() -> None:
    async def script(played: Played) -> None:
        await played.send(OK)
        await played.gone()

    async def handler(exchange: Exchange) -> None:
        await exchange.read_body(64_000_000)
        await stage.pass_on(exchange)

    async with (
        Upstream(script, receive_buffer_bytes=4096) as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("POST", "/", body=b"x" * 30_000_000))
        assert (await client.answer()).status == 200
        assert stage.pool.size == 0
