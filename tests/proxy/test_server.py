"""The data path as a whole: what settings become, starting, the clock behind deadlines, and stopping."""

import asyncio

import pytest

from sidecar.config.settings import Limits, Proxy, Settings, Timeouts
from sidecar.domain.errors import StartupError
from sidecar.proxy.server import limits_of
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Exchange, Gate, answers
from tests.support.upstream import Upstream as Behind


def test_every_limit_comes_from_its_setting() -> None:
    names = ("request_line_max_bytes", "head_max_bytes", "headers_max", "body_max_bytes", "client_connections_max")
    times = ("client_head_s", "client_idle_s", "connect_s", "head_s", "idle_s", "total_s")
    limits = Limits(**{name: number for number, name in enumerate(names, 300)})
    timeouts = Timeouts(**{name: float(number) for number, name in enumerate(times, 1)})
    made = limits_of(Settings(limits=limits, timeouts=timeouts))
    assert [getattr(made, name) for name in names] == list(range(300, 305))
    assert [getattr(made, name) for name in times] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


async def test_a_port_in_use_is_said_in_one_sentence(lane: Lane) -> None:
    async with Behind() as behind, Shop(lane, behind) as shop:
        other = Shop(lane, behind, proxy=Proxy(listen=f"127.0.0.1:{shop.port}"))
        with pytest.raises(StartupError, match="the port is in use; choose another address with --listen"):
            await other.proxy.start()
        await other.proxy.close()


async def test_an_error_in_a_tick_does_not_stop_the_clock(lane: Lane) -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))
    async with Behind() as behind, Shop(lane, behind, timeouts=Timeouts(client_idle_s=0.1)) as shop:

        class Broken:
            def check(self, now_s: float) -> None:
                shop.proxy._engine.connections.discard(self)
                raise ZeroDivisionError

        shop.proxy._engine.connections.add(Broken())  # type: ignore[arg-type]  # A connection that only fails.
        async with RawClient(shop.port) as client:
            assert await client.ended() == b""
    assert [type(error) for error in errors] == [ZeroDivisionError]


async def test_a_request_that_cannot_be_begun_is_refused_as_a_problem(lane: Lane) -> None:
    async with Behind() as behind, Shop(lane, behind) as shop, RawClient(shop.port) as client:
        await client.send(b"GET / HTTP/1.1\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.get("x-sidecar-refusal")) == (400, "bad_request")
        assert answer.json()["detail"] == "The Host header is missing."
        assert shop.metrics.refusals["bad_request"] == 1


async def test_who_lingers_serves_everyone_and_asks_them_to_connect_anew(lane: Lane) -> None:
    async with Behind(answers(b"served")) as behind, Shop(lane, behind) as shop, RawClient(shop.port) as client:
        await client.send(request("GET", "/fixed/a", shop.bearer))
        assert (await client.answer()).get("connection") is None
        lingering = asyncio.ensure_future(shop.proxy.linger(60))
        await asyncio.sleep(0)
        await client.send(request("GET", "/fixed/a", shop.bearer))
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (200, "close")
        assert (await fetch(shop.port, "GET", "/fixed/a", shop.bearer)).body == b"served"
        lingering.cancel()
        assert await shop.proxy.drain(20)
        assert (await shop.settled()).spent == 3_000_000


async def test_a_drain_finishes_what_runs_and_takes_nothing_new(lane: Lane) -> None:
    gate = Gate()

    async def script(played: Exchange) -> None:
        await gate.pause()
        await played.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with Behind(script) as behind, Shop(lane, behind) as shop, RawClient(shop.port) as client:
        await client.send(request("GET", "/fixed/a", shop.bearer))
        await gate.reached()
        draining = asyncio.ensure_future(shop.proxy.drain(20))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await fetch(shop.port, "GET", "/free")
        gate.open()
        assert (await client.answer()).get("connection") == "close"
        assert await draining
        assert (await shop.settled()).spent == 1_000_000
