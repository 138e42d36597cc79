"""Checks of each address: what is a good answer, and what follows for requests."""

import pytest

from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.process import refusing_port
from tests.support.rawhttp import fetch
from tests.support.until import until
from tests.support.upstream import Exchange, Script, Upstream, answers, says


async def silent(exchange: Exchange) -> None:
    await exchange.gone()


@pytest.mark.parametrize(
    ("script", "healthy"),
    [
        pytest.param(answers(), True, id="ok"),
        pytest.param(answers(status=302), True, id="a redirect"),
        pytest.param(answers(status=404), False, id="not found"),
        pytest.param(answers(status=503), False, id="unavailable"),
        pytest.param(says(b"SSH-2.0\r\n", then="close"), False, id="no HTTP"),
        pytest.param(says(then="reset"), False, id="reset"),
    ],
)
async def test_what_is_healthy(lane: Lane, script: Script, healthy: bool) -> None:
    async with Upstream(script) as one, Shop(lane, one, health_path="/up?x=1", breaker_failures=1) as shop:
        (address,) = shop.proxy._upstreams.addresses
        await one.arrived(1)
        (asked,) = one.requests
        assert (asked.method, asked.target, asked.get(b"connection")) == (b"GET", b"/up?x=1", b"close")
        if healthy:
            assert address.breaker.closed
        else:
            await until(lambda: not address.breaker.closed, "the breaker to open")


async def test_an_address_that_is_not_healthy_gets_no_request_and_comes_back(lane: Lane) -> None:
    async def by_path(exchange: Exchange) -> None:
        await answers(status=200 if well or exchange.request.target != b"/up" else 503)(exchange)

    well = False
    async with (
        Upstream(by_path) as ill,
        Upstream() as good,
        Shop(lane, good, urls=[ill.url], health_path="/up", health_interval_s=0.01, breaker_failures=2) as shop,
    ):
        breaker = shop.proxy._upstreams.addresses[1].breaker
        await until(lambda: not breaker.closed, "the address to be left alone")
        for _ in range(4):
            await fetch(shop.port, "GET", "/free")
        assert [asked.target for asked in good.requests if asked.target == b"/free"] == [b"/free"] * 4
        well = True
        await until(lambda: breaker.closed, "the address to be healthy again")


async def test_an_address_that_is_not_there_is_not_healthy(lane: Lane) -> None:
    with refusing_port() as port:
        async with (
            Upstream() as good,
            Shop(
                lane,
                good,
                urls=[f"http://127.0.0.1:{port}"],
                health_path="/up",
                health_interval_s=0.01,
                breaker_failures=3,
            ) as shop,
        ):
            await until(lambda: not shop.proxy._upstreams.addresses[1].breaker.closed, "the address to be left alone")
