"""Bodies of requests as handlers read, replace and forward them, and answers that have none or are rewritten."""

import pytest

from sidecar.http1.engine import HIGH_WATER_BYTES, Limits
from sidecar.http1.errors import End
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Upstream, answers, chunk, head, says

CHUNKED = ("Transfer-Encoding", "chunked")


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
