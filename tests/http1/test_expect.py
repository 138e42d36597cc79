"""Expect: 100-continue in all its variants, and other interim answers."""

from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Upstream, head, says

EXPECT = ("Expect", "100-continue")


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
