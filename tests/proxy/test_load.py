"""What is shed: requests beyond the bounds, one customer's beyond its share, large bodies beyond memory."""

import asyncio

import pytest

from sidecar.config.settings import Limits
from sidecar.http1.engine import Engine
from sidecar.http1.engine import Limits as EngineLimits
from sidecar.http1.errors import End
from sidecar.proxy.load import Load
from sidecar.store.lane import Lane
from tests.http1.stage import refuse
from tests.proxy.shop import RULES, Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Gate, Upstream, after

CREDIT = 1_000_000


def slow(gate: Gate) -> Upstream:
    return Upstream(after(gate))


async def test_requests_beyond_the_most_are_shed(lane: Lane) -> None:
    gate, limits = Gate(), Limits(requests_max=2, customer_share=1.0)
    async with slow(gate) as upstream, Shop(lane, upstream, limits=limits) as shop:
        running = [asyncio.ensure_future(fetch(shop.port, "GET", "/fixed/a", shop.bearer)) for _ in range(2)]
        await upstream.arrived(2)
        shed = await fetch(shop.port, "GET", "/fixed/a", shop.bearer)
        assert (shed.status, shed.get("x-sidecar-refusal"), shed.get("retry-after")) == (503, "overloaded", "1")
        free = await fetch(shop.port, "GET", "/free")
        assert free.get("x-sidecar-refusal") == "overloaded"
        gate.open()
        assert [(await each).status for each in running] == [200, 200]
        assert (await fetch(shop.port, "GET", "/fixed/a", shop.bearer)).status == 200
        assert (await shop.settled()).spent == 3 * CREDIT
        assert shop.metrics.refusals == {"overloaded": 2}


async def test_a_customer_has_its_share_and_others_get_through(lane: Lane) -> None:
    gate, limits = Gate(), Limits(requests_max=4, customer_share=0.5)
    async with slow(gate) as upstream, Shop(lane, upstream, limits=limits) as shop:
        running = [asyncio.ensure_future(fetch(shop.port, "GET", "/fixed/a", shop.bearer)) for _ in range(2)]
        await upstream.arrived(2)
        crowded = await fetch(shop.port, "GET", "/fixed/a", shop.bearer)
        assert (crowded.status, crowded.get("x-sidecar-refusal")) == (429, "too_many_in_flight")
        assert crowded.get("retry-after") == "1"
        other = asyncio.ensure_future(fetch(shop.port, "GET", "/free"))
        await upstream.arrived(3)
        gate.open()
        assert [(await each).status for each in [*running, other]] == [200, 200, 200]
        assert (await shop.settled()).spent == 2 * CREDIT
        assert shop.proxy._load.customers == 0


@pytest.mark.parametrize("path", ["/nowhere", "/fixed/a"])
async def test_what_is_refused_leaves_nothing_counted(lane: Lane, path: str) -> None:
    async with Upstream() as upstream, Shop(lane, upstream) as shop:
        await fetch(shop.port, "GET", path)
        await fetch(shop.port, "GET", path, shop.bearer)
        await shop.settled()
        assert shop.proxy._load.customers == 0


async def test_requests_that_wait_for_a_connection_have_a_bound(lane: Lane) -> None:
    gate = Gate()
    async with slow(gate) as upstream, Shop(lane, upstream, connections_max=1, waiting_max=1) as shop:
        first = asyncio.ensure_future(fetch(shop.port, "GET", "/fixed/a", shop.bearer))
        await upstream.arrived(1)
        second = asyncio.ensure_future(fetch(shop.port, "GET", "/fixed/a", shop.bearer))
        await until(lambda: shop.proxy._upstreams.waiting == 1, "one to wait")
        shed = await fetch(shop.port, "GET", "/fixed/a", shop.bearer)
        assert (shed.status, shed.get("x-sidecar-refusal")) == (503, "overloaded")
        gate.open()
        assert ((await first).status, (await second).status) == (200, 200)
        assert (await shop.settled()).spent == 2 * CREDIT
        (address,) = shop.proxy._upstreams.addresses
        assert address.breaker.closed


async def test_large_bodies_that_are_read_have_a_bound(lane: Lane) -> None:
    rules = RULES.with_name("admission.yaml")
    limits = Limits(bodies_max_bytes=50_000)
    body = b'{"model": "small", "text": "%b"}' % (b"x" * 40_000)
    async with Upstream() as upstream, Shop(lane, upstream, rules=rules, limits=limits) as shop:
        async with RawClient(shop.port) as client, RawClient(shop.port) as other:
            whole = request("POST", "/read", shop.bearer, body=body)
            await client.send(whole[:-1])
            await until(lambda: shop.proxy._load.bodies_bytes == len(body), "the first body to be read")
            await other.send(whole[:-1])
            shed = await other.answer()
            assert (shed.status, shed.get("x-sidecar-refusal")) == (503, "overloaded")
            await client.send(whole[-1:])
            assert (await client.answer()).status == 402, "it was read, and is too dear"
        await shop.settled()
        assert shop.proxy._load.bodies_bytes == 0


async def test_one_body_may_always_be_read() -> None:
    load = Load(Engine(EngineLimits(), refuse), requests_max=1, share=0.1, bodies_max_bytes=10)
    assert load.customer_max == 1
    assert load.take_body(1_000) is None
    shed = load.take_body(1)
    assert shed is not None
    assert shed.end is End.SHED
    load.give_body_back(1_000)
    assert load.take_body(1) is None
