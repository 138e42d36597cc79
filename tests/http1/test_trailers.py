"""Trailers in both directions, and what may never come in one."""

import pytest

from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import WANTS_TRAILERS, RequestPolicy
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, request
from tests.support.upstream import Upstream, answers, says

CHUNKED = ("Transfer-Encoding", "chunked")
FORBIDDEN = (
    b"Host: evil\r\nAuthorization: Bearer stolen\r\n"
    b"Connection: x\r\nX-Forwarded-For: 1.2.3.4\r\nTE: x\r\nCookie: a\r\nX-Named: 1\r\n"
)


async def test_trailers_of_a_request_pass_and_end_the_connection() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        head = request("POST", "/", CHUNKED, ("Connection", "X-Named"))
        await client.send(head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n", FORBIDDEN + b"X_Forwarded_For: 1\r\n\r\n")
        assert (await client.answer()).status == 200
        received = upstream.requests[0]
        assert (received.body, received.trailers) == (b"abc", [(b"X-Sum", b"1")])
        # Parsers are known that add trailers to the next head.
        assert stage.pool.size == 0
        await client.send(request("GET", "/"))
        assert (await client.answer()).status == 200
        assert upstream.connections == 2


async def test_what_a_policy_drops_or_sets_cannot_come_as_a_trailer() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        stage.policy = RequestPolicy(host=b"a", set=((b"X-Api-Token", b"ours"),))
        await client.send(request("POST", "/", CHUNKED) + b"0\r\nX-Api-Token: theirs\r\nx_api-token: theirs\r\n\r\n")
        assert (await client.answer()).status == 200
        assert upstream.requests[0].trailers == []
        assert upstream.requests[0].get(b"x-api-token") == b"ours"


async def test_trailers_of_an_answer_pass() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-named\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n"
    )
    async with Upstream(says(answer, FORBIDDEN, b"\r\n")) as upstream, Stage(upstream.port) as stage:
        async with RawClient(stage.port) as client:
            for _ in range(2):
                await client.send(request("GET", "/", ("TE", "trailers")))
                got = await client.answer()
                assert (got.body, got.trailers) == (b"abc", [(b"X-Sum", b"1")])
        assert upstream.connections == 1
        assert upstream.requests[0].get(b"te") == b"trailers"
        assert upstream.requests[0].get(b"connection") == b"TE"


async def test_trailers_do_not_reach_http_1_0() -> None:
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    async with Upstream(says(answer)) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.ended()).endswith(b"\r\n\r\nabc")


async def test_a_buffered_body_with_trailers_stays_chunked() -> None:
    async with Upstream(answers()) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:

        async def handler(exchange: Exchange) -> None:
            assert await exchange.read_body(1000) == b"abc"
            await stage.pass_on(exchange, body=b"replaced")

        stage.handler = handler
        await client.send(request("POST", "/", CHUNKED), b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert (await client.answer()).status == 200
        assert upstream.requests[0].raw_body == b"8\r\nreplaced\r\n0\r\nX-Sum: 1\r\n\r\n"


async def test_trailers_are_asked_for_once_whatever_the_client_said() -> None:
    async with Upstream() as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:

        async def handler(exchange: Exchange) -> None:
            await stage.pass_on(exchange, extra=WANTS_TRAILERS)

        stage.handler = handler
        theirs = [("TE", "trailers, gzip"), ("Connection", "TE, X-Named"), ("X-Named", "1")]
        for fields in ([], theirs[:1], theirs):
            await client.send(request("GET", "/", *fields))
            assert (await client.answer()).status == 200
            received = upstream.requests[-1]
            assert received.headers == [(b"Host", b"upstream.test"), *WANTS_TRAILERS]


@pytest.mark.parametrize(
    ("announced", "passed"),
    [
        (b"X-Sum", "X-Sum"),
        (b"X-Sum, X-Cost", "x-sum"),
        (b"x-cost,X-Other ,, X-Sum", "x-other, x-sum"),
        (b"X-Cost", None),
        (b"Content-Length, X-Named", None),
    ],
)
async def test_what_does_not_pass_is_not_announced(announced: bytes, passed: str | None) -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-named\r\nTrailer: %b\r\n\r\n" % announced
    answer = head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Cost: 5\r\n\r\n"
    async with Upstream(says(answer)) as upstream, Stage(upstream.port) as stage, RawClient(stage.port) as client:

        async def handler(exchange: Exchange) -> None:
            await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
            exchange.relay(frozenset({b"x-cost"}), via=False) or await exchange.ended()
            assert exchange.response_trailers == [(b"X-Sum", b"1"), (b"X-Cost", b"5")]
            exchange.finish()

        stage.handler = handler
        await client.send(request("GET", "/"))
        got = await client.answer()
        assert (got.get("trailer"), got.trailers) == (passed, [(b"X-Sum", b"1")])
