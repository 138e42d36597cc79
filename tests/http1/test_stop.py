"""A handler may hold an answer up in the middle, let it go on, and end it before the upstream does."""

from collections.abc import Callable

import pytest

from sidecar.http1.engine import HIGH_WATER_BYTES
from sidecar.http1.errors import End, Failure
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange as Asked
from tests.support.upstream import Upstream, answers, chunk, head, says

CHUNKED = ("transfer-encoding", "chunked")


class Censor:
    """A handler that holds up whatever has a `?` in it, and ends the answer at a `!`; `finish` once it has ended."""

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.kept = b""
        self.seen: list[bytes] = []
        self.last = b""
        self.holds_up = True
        self.ends: list[End] = []

    def through(self, data: bytes) -> bytes:
        assert self.exchange is not None
        self.seen.append(data)
        data, self.kept = self.kept + data, b""
        if b"!" in data:
            self.exchange.stop()
            self.last = b"THE END"
            return data[: data.index(b"!")]
        if b"#" in data:
            self.exchange.cut_off("A hash.")
            return data
        if b"?" in data and self.holds_up:
            self.exchange.hold_up()
            at = data.index(b"?")
            self.kept = data[at:]
            return data[:at]
        return data

    def flush(self) -> bytes:
        return self.last

    def handler(self, stage: Callable[[], Stage], *, rewrites: bool = False) -> Callable[[Exchange], object]:
        async def handle(exchange: Exchange) -> None:
            self.exchange = exchange
            answer = await exchange.forward(stage().pool, stage().policy, stage().policy.dropped())
            assert not isinstance(answer, Failure)
            end = exchange.relay(through=self.through, flush=self.flush, rewrites=rewrites) or await exchange.ended()
            self.ends.append(end)
            if end is End.COMPLETE:
                exchange.finish(b"x-late: 1\r\n")
            else:
                exchange.cut()

        return handle

    def go_on(self) -> None:
        self.holds_up = False
        assert self.exchange is not None
        self.exchange.go_on()


def stage_of(upstream: Upstream, censor: Censor, *, rewrites: bool = False) -> Stage:
    stage: Stage
    stage = Stage(upstream.port, handler=censor.handler(lambda: stage, rewrites=rewrites))  # type: ignore[arg-type]  # A coroutine, said in few words.
    return stage


async def test_what_is_held_up_comes_later_and_in_order() -> None:
    censor = Censor()
    async with (
        Upstream(says(head(200, CHUNKED) + chunk(b"one?"), chunk(b"two"), chunk(b"three") + chunk(b""))) as upstream,
        stage_of(upstream, censor) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        await until(lambda: censor.kept, "the question")
        censor.go_on()
        answer = await client.answer()
        assert answer.body == b"one?twothree"
        assert censor.ends == [End.COMPLETE]


async def test_an_end_that_is_held_up_waits() -> None:
    """All of it came at once: even its head waits, and can still be told what was decided."""
    censor = Censor()
    async with (
        Upstream(answers(b"?")) as upstream,
        stage_of(upstream, censor) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        await until(lambda: censor.kept, "the question")
        assert censor.ends == []
        censor.go_on()
        answer = await client.answer()
        assert (answer.body, censor.ends, censor.seen) == (b"?", [End.COMPLETE], [b"?", b""])
        assert stage.pool.idle == 1


async def test_an_upstream_that_is_held_up_is_paused() -> None:
    censor = Censor()
    sent = 0

    async def pours(asked: Asked) -> None:
        nonlocal sent
        await asked.body()
        await asked.send(head(200, CHUNKED) + chunk(b"?"))
        for _ in range(400):
            await asked.send(chunk(bytes(65_536)))
            sent += 65_536
        await asked.send(chunk(b""))

    async with Upstream(pours) as upstream, stage_of(upstream, censor) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/"))
        await until(lambda: sent > 0, "it to pour")
        assert censor.exchange is not None
        assert censor.exchange._early_size <= 2 * HIGH_WATER_BYTES
        censor.go_on()
        answer = await client.answer()
        assert len(answer.body) == 400 * 65_536 + 1


@pytest.mark.parametrize(
    ("script", "rewrites"),
    [
        pytest.param(
            says(head(200, CHUNKED) + chunk(b"one"), chunk(b"two!three"), chunk(b"four")), False, id="chunks"
        ),
        pytest.param(says(head(200, CHUNKED) + chunk(b"onetwo!three") + chunk(b"")), False, id="all at once"),
        pytest.param(answers(b"onetwo!three"), True, id="with a length"),
        pytest.param(says(head(200) + b"onetwo!", b"three", then="close"), False, id="until the end"),
    ],
)
async def test_an_answer_that_is_stopped_ends_in_good_order(script: object, rewrites: bool) -> None:
    censor = Censor()
    async with Upstream(script) as upstream, stage_of(upstream, censor, rewrites=rewrites) as stage:  # type: ignore[arg-type]  # Scripts.
        async with RawClient(stage.port) as client:
            for _ in range(2):
                await client.send(request("GET", "/"))
                answer = await client.answer()
                assert (answer.status, answer.body) == (200, b"onetwoTHE END")
        assert censor.ends == [End.COMPLETE, End.COMPLETE]
        await stage.quiet()


async def test_the_upstream_of_a_stopped_answer_is_left() -> None:
    censor = Censor()
    gone = False

    async def goes_on(asked: Asked) -> None:
        nonlocal gone
        await asked.body()
        await asked.send(head(200, CHUNKED) + chunk(b"one!"))
        await asked.gone()
        gone = True

    async with Upstream(goes_on) as upstream, stage_of(upstream, censor) as stage:
        answer = await fetch(stage.port, "GET", "/")
        assert answer.body == b"oneTHE END"
        await until(lambda: gone, "the upstream to see it")
        assert stage.pool.size == 0


async def test_one_that_is_held_up_can_be_stopped() -> None:
    censor = Censor()
    async with (
        Upstream(says(head(200, CHUNKED) + chunk(b"one?"))) as upstream,
        stage_of(upstream, censor) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        await until(lambda: censor.kept, "the question")
        censor.kept = b"!"
        censor.go_on()
        answer = await client.answer()
        assert answer.body == b"oneTHE END"


async def test_a_client_can_see_that_an_answer_was_cut_off() -> None:
    censor = Censor()
    async with (
        Upstream(says(head(200, ("content-length", "100")) + b"one", b"#two")) as upstream,
        stage_of(upstream, censor) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(request("GET", "/"))
        assert (await client.ended()).endswith(b"\r\n\r\none#two")
        assert censor.ends == [End.CUT]


async def test_a_client_that_goes_while_its_answer_is_held_up() -> None:
    censor = Censor()
    async with Upstream(says(head(200, CHUNKED) + chunk(b"one?"))) as upstream, stage_of(upstream, censor) as stage:
        async with RawClient(stage.port) as client:
            await client.send(request("GET", "/"))
            await until(lambda: censor.kept, "the question")
        await until(lambda: censor.ends == [End.CLIENT_GONE], "the end")
        censor.go_on()
        assert censor.seen == [b"one?"]


async def test_an_upstream_that_breaks_off_while_it_is_held_up() -> None:
    censor = Censor()
    script = says(head(200, CHUNKED) + chunk(b"one?"), then="reset")
    async with Upstream(script) as upstream, stage_of(upstream, censor) as stage, RawClient(stage.port) as client:
        await client.send(request("GET", "/"))
        await until(lambda: censor.kept, "the question")
        censor.go_on()
        await client.ended()
        assert censor.ends == [End.UPSTREAM_FAILED]
