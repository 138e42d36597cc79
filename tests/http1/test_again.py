"""A handler that forwards once more after a failure, or instead of passing an answer on."""

import pytest
from msgspec.structs import replace

from sidecar.http1.engine import Limits
from sidecar.http1.errors import End, Failure
from sidecar.http1.exchange import Exchange
from sidecar.http1.heads import ResponseHead
from tests.http1.stage import Stage
from tests.support.process import refusing_port
from tests.support.rawhttp import RawClient, request
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Script, Upstream, answers, chunk, head, says


class Persistent:
    """Forwards up to `most` times until an answer is a 200; `refused` counts how often `again` said no."""

    def __init__(self, *, keeps_body: bool = True, most: int = 2) -> None:
        self.stage: Stage | None = None
        self.keeps_body = keeps_body
        self.most = most
        self.refused = 0

    async def __call__(self, exchange: Exchange) -> None:
        assert self.stage is not None
        exchange.keeps_body = self.keeps_body
        for attempt in range(self.most):
            answer = await exchange.forward(self.stage.pool, self.stage.policy, self.stage.policy.dropped())
            if (isinstance(answer, ResponseHead) and answer.status == 200) or attempt + 1 == self.most:
                break
            if not exchange.again():
                self.refused += 1
                break
        if isinstance(answer, Failure):
            self.stage.tell(exchange, answer)
            return
        end = exchange.relay() or await exchange.ended()
        self.stage.ends.append(end)
        exchange.finish()


def stage_of(port: int, handler: Persistent, **more: object) -> Stage:
    handler.stage = Stage(port, handler=handler, **more)  # type: ignore[arg-type]  # Tests name real ones.
    return handler.stage


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(says(then="reset"), id="reset"),
        pytest.param(says(b"SSH-2.0\r\n", then="close"), id="no HTTP"),
        pytest.param(answers(b"busy", status=503), id="an answer that came whole"),
        pytest.param(says(head(503, ("content-length", "9")) + b"half"), id="an answer that is still coming"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"the same body"])
async def test_the_same_request_goes_out_again(first: Script, body: bytes) -> None:
    handler = Persistent()
    async with Upstream() as upstream, stage_of(upstream.port, handler) as stage, RawClient(stage.port) as client:
        upstream.once(first)
        await client.send(request("POST", "/x", body=body))
        assert (await client.answer()).status == 200
        one, other = upstream.requests
        assert (one.method, one.target, one.headers) == (other.method, other.target, other.headers)
        assert other.body == body
    assert handler.refused == 0


async def test_after_no_connection_nothing_needs_to_be_kept() -> None:
    handler = Persistent(keeps_body=False)
    async with (
        Upstream() as upstream,
        stage_of(upstream.port, handler) as stage,
        RawClient(stage.port) as client,
    ):
        good = stage.pool.origin
        with refusing_port() as refusing:
            stage.pool.origin = replace(good, port=refusing)

        async def then_good(exchange: Exchange) -> None:
            answer = await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
            assert isinstance(answer, Failure)
            assert not answer.dispatched
            stage.pool.origin = good
            assert exchange.again()
            await handler(exchange)

        stage.engine.handler = then_good
        await client.send(request("POST", "/x", body=b"body"))
        assert (await client.answer()).status == 200
        assert upstream.requests[0].body == b"body"


async def test_what_was_sent_and_not_kept_is_not_sent_again() -> None:
    handler = Persistent(keeps_body=False)
    async with Upstream() as upstream, stage_of(upstream.port, handler) as stage, RawClient(stage.port) as client:
        upstream.once(says(then="reset"))
        await client.send(request("POST", "/x", body=b"body"))
        assert (await client.answer()).status == 502
        assert len(upstream.requests) == 1
    assert handler.refused == 1


async def test_a_body_that_is_still_arriving_is_not_sent_again() -> None:
    handler = Persistent()

    async def first(played: Played) -> None:
        await played.read(4)
        played.reset()

    async with Upstream() as upstream, stage_of(upstream.port, handler) as stage, RawClient(stage.port) as client:
        upstream.once(first)
        await client.send(request("POST", "/x", ("Content-Length", "8")) + b"half")
        assert (await client.answer()).status == 502
    assert handler.refused == 1


async def test_a_client_that_has_gone_is_not_forwarded_for_again() -> None:
    gate = Gate()
    handler = Persistent()

    async def first(played: Played) -> None:
        await gate.pause()
        await played.gone()

    async with Upstream(first) as upstream, stage_of(upstream.port, handler) as stage:
        async with RawClient(stage.port) as client:
            await client.send(request("POST", "/x", body=b"body"))
            await gate.reached()
        gate.open()
        await stage.quiet()
        assert stage.ends == [End.CLIENT_GONE]
        assert len(upstream.requests) == 1


async def test_the_time_of_the_whole_request_bounds_all_attempts() -> None:
    async def silent(played: Played) -> None:
        await played.gone()

    handler = Persistent(most=100)
    limits = Limits(total_s=0.3, head_s=0.1)
    async with (
        Upstream(silent) as upstream,
        stage_of(upstream.port, handler, limits=limits) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("POST", "/x", body=b"body"))
        assert (await client.answer()).status == 504
        assert 2 <= len(upstream.requests) <= 5


async def test_nothing_of_the_answer_that_was_put_aside_reaches_the_client() -> None:
    handler = Persistent()
    async with Upstream() as upstream, stage_of(upstream.port, handler) as stage, RawClient(stage.port) as client:
        upstream.once(says(head(503, ("transfer-encoding", "chunked"), ("x-bad", "1")) + chunk(b"bad")))
        await client.send(request("GET", "/x"))
        answer = await client.answer()
        assert (answer.status, answer.get("x-bad"), answer.body) == (200, None, b"ok")
        assert stage.exchanges[0].response_bytes == 2


async def test_an_answer_that_is_being_passed_on_stays() -> None:
    said: list[bool] = []

    async def handler(exchange: Exchange) -> None:
        exchange.keeps_body = True
        await exchange.forward(stage.pool, stage.policy, stage.policy.dropped())
        exchange.relay() or await exchange.ended()
        said.append(exchange.again())
        exchange.finish()

    async with (
        Upstream() as upstream,
        Stage(upstream.port, handler=handler) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/x"))
        assert (await client.answer()).status == 200
    assert said == [False]
