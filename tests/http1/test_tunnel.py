"""Going over to another protocol: asked for, answered, and bytes that pass both ways until one side closes."""

import asyncio

import pytest

from sidecar.http1.engine import Limits
from sidecar.http1.errors import End, Failure
from sidecar.http1.exchange import Exchange
from tests.http1.stage import Stage
from tests.support.rawhttp import RawClient
from tests.support.until import until
from tests.support.upstream import Exchange as Played
from tests.support.upstream import Gate, Script, Upstream, answers, head, says

ASK = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\nX-Mine: 1\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\nX-Theirs: 2\r\n\r\n"


class Tunnel(Stage):
    """A stage that goes over to `echo` when it is asked to; `up` and `down` are what it was shown."""

    def __init__(self, port: int, **more: object) -> None:
        super().__init__(port, handler=self.go_over, **more)  # type: ignore[arg-type]  # Tests name real ones.
        self.engine.takes_upgrades = True
        self.up, self.down = b"", b""

    async def go_over(self, exchange: Exchange) -> None:
        exchange.upgrade = exchange.head.upgrade
        asks = ((b"Connection", b"Upgrade"), (b"Upgrade", exchange.upgrade)) if exchange.upgrade else ()
        answer = await exchange.forward(self.pool, self.policy, self.policy.dropped(), asks)
        if isinstance(answer, Failure):
            self.tell(exchange, answer)
            return
        if exchange.tunnels:
            end = exchange.tunnel(frozenset(), b"", self.see_up, self.see_down) or await exchange.ended()
        else:
            end = exchange.relay() or await exchange.ended()
        self.ends.append(end)
        if end is End.COMPLETE:
            exchange.finish()
        else:
            exchange.cut()

    def see_up(self, data: bytes) -> bytes:
        self.up += data
        return data

    def see_down(self, data: bytes) -> bytes:
        self.down += data
        return data


async def echo(played: Played) -> None:
    """Goes over, says everything back, and closes at `bye`."""
    await played.send(SWITCH + b"hi ")
    said = b""
    while not said.endswith(b"bye"):
        data = await played.read(65_536)
        if not data:
            return
        said += data
        await played.send(data)
    played.close()


async def test_bytes_pass_both_ways_until_the_upstream_closes() -> None:
    async with Upstream(echo) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK)
        said = await client.receive(until=b"hi ")
        assert said.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        fields = said.lower().split(b"\r\n")
        assert b"upgrade: echo" in fields
        assert b"connection: upgrade" in fields
        assert b"x-theirs: 2" in fields
        await client.send(b"\x00one")
        assert await client.receive(until=b"one") == b"\x00one"
        await client.send(b"bye")
        assert await client.ended() == b"bye"
        assert (stage.up, stage.down) == (b"\x00onebye", b"hi \x00onebye")
    (asked,) = upstream.requests
    assert (asked.get(b"upgrade"), asked.get(b"connection"), asked.get(b"x-mine")) == (b"echo", b"Upgrade", b"1")
    assert stage.ends == [End.COMPLETE]
    assert stage.exchanges[0].request_bytes == len(stage.up)
    assert stage.exchanges[0].response_bytes == len(stage.down)


async def test_what_came_right_behind_the_request_belongs_to_the_other_protocol() -> None:
    async with Upstream(echo) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK + b"early bye")
        assert (await client.ended()).endswith(b"\r\n\r\nhi early bye")


async def test_a_large_flow_is_not_kept_in_memory() -> None:
    big = b"x" * 20_000_000

    async def script(played: Played) -> None:
        await played.send(SWITCH)
        received = 0
        while received < len(big):
            received += len(await played.read(65_536))
        await played.send(big)
        played.close()

    async with Upstream(script) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK)
        sending = asyncio.ensure_future(client.send(big))
        got = await client.ended()
        await sending
        assert len(got) > len(big)
        assert stage.exchanges[0].response_bytes == len(big)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_goes_ends_it(how: str) -> None:
    async with Upstream(echo) as upstream, Tunnel(upstream.port) as stage:
        async with RawClient(stage.port) as client:
            await client.send(ASK)
            await client.receive(until=b"hi ")
            if how == "reset":
                client.reset()
        await until(lambda: stage.ends, "the tunnel to end")
        assert stage.ends == [End.CLIENT_GONE]


async def test_an_upstream_that_breaks_it_off_is_a_failure() -> None:
    gate = Gate()

    async def script(played: Played) -> None:
        await played.send(SWITCH)
        await gate.pause()
        played.reset()

    async with Upstream(script) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK)
        await client.receive(until=b"\r\n\r\n")
        gate.open()
        await client.ended()
        assert stage.ends == [End.UPSTREAM_FAILED]


@pytest.mark.parametrize("limits", [Limits(tunnel_idle_s=0.1), Limits(tunnel_s=0.1)], ids=["idle", "in all"])
async def test_it_does_not_last_for_ever(limits: Limits) -> None:
    async with (
        Upstream(echo) as upstream,
        Tunnel(upstream.port, limits=limits) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(ASK)
        await client.ended()
        assert stage.ends == [End.TIMED_OUT]


async def test_the_time_of_a_request_is_not_that_of_a_tunnel() -> None:
    limits = Limits(total_s=0.2, idle_s=0.1)
    async with (
        Upstream(echo) as upstream,
        Tunnel(upstream.port, limits=limits) as stage,
        RawClient(stage.port) as client,
    ):
        await client.send(ASK)
        await client.receive(until=b"hi ")
        began_s = stage.engine.now_s
        await until(lambda: stage.engine.now_s > began_s + 0.4, "both limits to pass")
        await client.send(b"bye")
        assert await client.ended() == b"bye"


async def test_a_shutdown_cuts_it() -> None:
    async with Upstream(echo) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK)
        await client.receive(until=b"hi ")
        assert await stage.engine.drain(0.05) is False
        assert stage.ends == [End.CUT]


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param(answers(b"no"), 200, id="an ordinary answer"),
        pytest.param(says(head(426, ("upgrade", "other"), ("content-length", "0"))), 426, id="a refusal"),
        pytest.param(says(SWITCH.replace(b"echo", b"other")), 502, id="another protocol"),
        pytest.param(says(SWITCH.replace(b"Connection: Upgrade\r\n", b"")), 502, id="not said in Connection"),
    ],
)
async def test_an_answer_that_does_not_go_over(script: Script, status: int) -> None:
    async with Upstream(script) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK)
        answer = await client.answer()
        assert answer.status == status
        if status == 200:
            await client.send(ASK)
            assert (await client.answer()).status == 200, "the connection goes on"


async def test_an_upstream_that_goes_over_without_being_asked_is_broken() -> None:
    async with Upstream(says(SWITCH)) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: echo\r\n\r\n")
        assert (await client.answer()).status == 502


@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(ASK.replace(b"GET", b"POST").replace(b"X-Mine: 1", b"Content-Length: 0"), id="not a GET"),
        pytest.param(ASK.replace(b"X-Mine: 1", b"Content-Length: 3") + b"abc", id="with a body"),
        pytest.param(ASK.replace(b"HTTP/1.1", b"HTTP/1.0"), id="in HTTP/1.0"),
    ],
)
async def test_what_cannot_ask_is_501(asking: bytes) -> None:
    async with Upstream(echo) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(asking)
        answer = await client.answer()
        assert (answer.status, answer.get("x-code")) == (501, "upgrade_unsupported")
        assert upstream.requests == []


async def test_what_is_held_up_passes_later_in_both_directions() -> None:
    async with Upstream(echo) as upstream, Tunnel(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK)
        await client.receive(until=b"hi ")
        (exchange,) = stage.exchanges
        exchange.hold_up()
        await client.send(b"one")
        await asyncio.sleep(0.05)
        assert stage.up == b"", "it came too early, or never"
        exchange.go_on()
        assert await client.receive(until=b"one") == b"one"
        await client.send(b"bye")
        assert await client.ended() == b"bye"


async def test_a_tunnel_that_is_cut_says_what_its_protocol_has_for_that() -> None:
    class Polite(Tunnel):
        async def go_over(self, exchange: Exchange) -> None:
            exchange.upgrade = exchange.head.upgrade
            asks = ((b"Connection", b"Upgrade"), (b"Upgrade", exchange.upgrade))
            await exchange.forward(self.pool, self.policy, self.policy.dropped(), asks)
            self.ends.append(exchange.tunnel(frozenset(), b"", bytes, bytes) or await exchange.ended())
            exchange.cut(b"farewell")

    async with Upstream(echo) as upstream, Polite(upstream.port) as stage, RawClient(stage.port) as client:
        await client.send(ASK)
        await client.receive(until=b"hi ")
        stage.exchanges[0].cut_off()
        assert await client.ended() == b"farewell"
        assert stage.ends == [End.CUT]
