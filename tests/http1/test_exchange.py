"""The story that a handler's coroutine is told, and how it is driven: futures, errors, bodies, Expect."""

import asyncio

import pytest

from sidecar.http1.engine import HIGH_WATER_BYTES, Limits
from sidecar.http1.errors import End, Failure, Phase
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Handler, Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Upstream, answers, chunk, head, says

CHUNKED = ("Transfer-Encoding", "chunked")
EXPECT = ("Expect", "100-continue")


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


# --- The request's body -------------------------------------------------------------------------------------------


async def test_a_body_of_exactly_the_most_that_is_read() -> None:
    """The last chunk comes later: reading must go on although all that may be read is here."""

    async def handler(exchange: Exchange) -> None:
        got.append(await exchange.read_body(HIGH_WATER_BYTES))
        await stage.pass_on(exchange)

    got: list[bytes | None] = []
    body = b"x" * HIGH_WATER_BYTES
    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("POST", "/", CHUNKED), chunk(body))
        await until(lambda: stage.exchanges and stage.exchanges[0].request_bytes == len(body), "the body")
        await client.send(b"0\r\n\r\n")
        assert (await client.answer()).status == 200
    assert got == [body]


@pytest.mark.parametrize("framing", ["sized", "chunked"])
async def test_a_body_larger_than_is_read_is_forwarded_all_the_same(framing: str) -> None:
    async def handler(exchange: Exchange) -> None:
        assert await exchange.read_body(1000) is None
        await stage.pass_on(exchange)

    body = b"y" * 700_000
    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        if framing == "sized":
            await client.send(request("POST", "/", body=body))
        else:
            await client.send(request("POST", "/", CHUNKED), chunk(body), b"0\r\n\r\n")
        assert (await client.answer()).status == 200
        assert upstream.requests[0].body == body


async def test_a_stream_that_exceeds_what_is_read_does_not_wait_for_more() -> None:
    async def handler(exchange: Exchange) -> None:
        assert await exchange.read_body(10) is None
        await stage.pass_on(exchange)

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("POST", "/", CHUNKED), chunk(b"more than ten"))
        await upstream.arrived(1)
        await client.send(b"0\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_a_replaced_body_has_its_own_length() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.read_body(1000)
        await stage.pass_on(exchange, body=b"other words", extra=((b"X-Client", b"replaced"),))

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("POST", "/", ("X-Client", "said"), body=b"words"))
        assert (await client.answer()).status == 200
        received = upstream.requests[0]
        assert (received.body, received.get(b"content-length")) == (b"other words", b"11")
        assert received.get(b"x-client") == b"replaced"


async def test_a_body_that_breaks_after_it_was_forwarded_is_400() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", CHUNKED), chunk(b"x"))
        await upstream.arrived(1)
        await client.send(b"not a size\r\n")
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (400, "close")
        assert not upstream.requests[0].complete
    assert stage.ends == [End.CLIENT_BROKE]


async def test_a_client_that_stalls_in_its_body_is_told_408_not_504() -> None:
    limits = Limits(client_idle_s=0.1)
    async with Upstream() as upstream, Stage(upstream.port, limits=limits) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", CHUNKED), chunk(b"x"))
        assert (await client.answer()).status == 408


# --- Expect: 100-continue -----------------------------------------------------------------------------------------


async def test_expect_is_met_by_us_when_the_handler_wants_the_body() -> None:
    async def handler(exchange: Exchange) -> None:
        assert await exchange.read_body(1000) == b"abc"
        await stage.pass_on(exchange)

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        for _ in range(2):
            await client.send(request("POST", "/", EXPECT, ("Content-Length", "3")))
            assert await client.receive(until=b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"abc")
            assert (await client.answer()).status == 200
        assert upstream.requests[0].get(b"expect") is None


async def test_expect_is_met_by_the_upstream_when_nobody_else_wants_the_body() -> None:
    async def script(played: Played) -> None:
        assert played.request.get(b"expect") == b"100-continue"
        await played.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await played.body() == b"abc"
        await played.send(head(200, ("content-length", "0")))

    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "3")))
        assert await client.receive(until=b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await client.answer()).status == 200
        assert stage.pool.idle == 1


async def test_expect_that_is_refused_never_asks_for_the_body() -> None:
    async def handler(exchange: Exchange) -> None:
        exchange.answer(402, b"Payment Required", (), b"")

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "3")))
        answer = await client.answer()
        assert (answer.status, answer.informational, answer.get("connection")) == (402, [], "close")
    assert upstream.requests == []


async def test_expect_that_the_upstream_refuses_passes_its_answer() -> None:
    async def script(played: Played) -> None:
        await played.send(head(417, ("content-length", "0")))
        await played.gone()

    async with Upstream(script) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "3")))
        answer = await client.answer()
        assert (answer.status, answer.informational, answer.get("connection")) == (417, [], "close")
        assert stage.pool.size == 0


async def test_expect_with_the_body_in_hand_is_not_answered_100() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(request("POST", "/", EXPECT, body=b"abc"))
        answer = await client.answer()
        assert (answer.status, answer.informational) == (200, [])
        assert upstream.requests[0].get(b"expect") is None


async def test_expect_after_the_same_request_without_a_body() -> None:
    """Heads that differ only in their length do not share what was expected of them."""

    async def handler(exchange: Exchange) -> None:
        await exchange.read_body(1000)
        await stage.pass_on(exchange)

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        for _ in range(3):
            await client.send(request("POST", "/", EXPECT, ("Content-Length", "0")))
            assert (await client.answer()).informational == []
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "3")))
        assert await client.receive(until=b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await client.answer()).status == 200


async def test_expect_means_nothing_in_http_1_0() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", b"abc")
        assert (await client.ended()).startswith(b"HTTP/1.1 200")
        assert upstream.requests[0].body == b"abc"


async def test_interim_answers_are_relayed_but_not_to_http_1_0() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"
    final = head(200, ("content-length", "0"))
    async with Upstream(says(hints, hints, final)) as upstream, Stage(upstream.port) as stage:
        answer = await fetch(stage.port, "GET", "/")
        assert answer.informational == [103, 103]
        assert answer.raw.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103")
        async with RawClient(stage.port) as client:
            await client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert (await client.ended()).startswith(b"HTTP/1.1 200")


# --- Answers without a body, and rewritten ones -------------------------------------------------------------------


async def test_head_204_and_304_keep_both_connections() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        upstream.once(
            says(head(200, ("content-length", "1000"))),
            says(head(204)),
            says(head(304, ("content-length", "5"), ("etag", "x"))),
            answers(b"last"),
        )
        for method, status, length in (
            ("HEAD", 200, "1000"),
            ("GET", 204, None),
            ("GET", 304, "5"),
            ("GET", 200, "4"),
        ):
            await client.send(request(method, "/"))
            answer = await client.answer(method)
            assert (answer.status, answer.get("content-length")) == (status, length)
        assert upstream.connections == 1


async def test_nothing_is_added_to_an_answer_that_can_have_no_body() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
        exchange.relay(through=bytes.upper, flush=lambda: b"!", rewrites=True) or await exchange.ended()
        exchange.finish()

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        for script in (head(204), head(304), head(200, ("content-length", "0"))):
            upstream.once(says(script))
            await client.send(request("GET", "/"))
            assert (await client.answer()).body == b""
        await client.send(request("HEAD", "/"))
        assert (await client.answer("HEAD")).body == b""
        await until(lambda: stage.engine.running == 0, "the last handler")
        assert client._buffer == b""


async def test_a_rewritten_answer_is_framed_anew() -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
        exchange.relay(through=bytes.upper, flush=lambda: b"!", rewrites=True) or await exchange.ended()
        exchange.finish()

    async with Upstream(answers(b"quiet")) as upstream, Stage(upstream.port, handler=handler) as stage:
        answer = await fetch(stage.port, "GET", "/")
        assert (answer.body, answer.get("content-length"), answer.get("transfer-encoding")) == (
            b"QUIET!",
            None,
            "chunked",
        )
