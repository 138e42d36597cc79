"""The story that a handler's coroutine is told, how it is driven, and clients that go in the middle of it."""

import pytest

from sidecar.http1.errors import End, Failure, Phase
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Upstream, chunk, head

CHUNKED = ("Transfer-Encoding", "chunked")


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


@pytest.mark.parametrize("wrong_at", [0, 1, 2, 3])
async def test_who_watches_a_body_sees_it_once_and_may_end_it(wrong_at: int) -> None:
    seen: list[tuple[bytes, bool]] = []

    def see(piece: bytes, last: bool) -> str:
        seen.append((piece, last))
        return "Not like this." if len(seen) == wrong_at else ""

    async def handler(exchange: Exchange) -> None:
        await until(lambda: bool(exchange.request_bytes), "the first bytes")
        exchange.watch(see)
        await stage.pass_on(exchange)

    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        stage.handler = handler
        await client.send(request("POST", "/", CHUNKED) + b"3\r\nabc\r\n")
        if wrong_at != 1:
            await until(lambda: bool(upstream.requests), "the beginning to be sent on")
            await client.send(b"2\r\nde\r\n")
        if wrong_at not in (1, 2):
            await until(lambda: len(seen) == 2, "the second piece to be seen")
            await client.send(b"0\r\n\r\n")
        answer = await client.answer()
        assert answer.status == (400 if wrong_at else 200)
        assert b"".join(piece for piece, _ in seen) == (b"abc" if wrong_at == 1 else b"abcde")
        assert [last for _, last in seen] == [False, False, True][: wrong_at or 3]
        if wrong_at:
            assert (answer.get("x-code"), answer.body) == ("unreadable_request", b"Not like this.")
            assert len(upstream.requests) == (wrong_at > 1)
            assert not any(received.complete for received in upstream.requests)


async def test_who_watches_a_body_that_is_here_sees_it_at_once() -> None:
    seen: list[tuple[bytes, bool]] = []

    def see(piece: bytes, last: bool) -> str:
        seen.append((piece, last))
        return ""

    async def handler(exchange: Exchange) -> None:
        assert await exchange.read_body(100) == b"abc"
        exchange.watch(see)
        await stage.pass_on(exchange)

    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        stage.handler = handler
        await client.send(request("POST", "/", body=b"abc"))
        assert (await client.answer()).status == 200
        assert seen == [(b"abc", True)]
