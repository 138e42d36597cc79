"""A request that waits for credit: served in its turn, refused in the end, and forgotten when its client goes."""

import asyncio
from pathlib import Path

from sidecar.config.settings import Timeouts
from sidecar.services.hold import Hold
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Upstream, answers

CREDIT = 1_000_000
RULES = Path(__file__).parent / "waiting.yaml"


async def test_a_request_waits_for_the_one_before_it(lane: Lane) -> None:
    gate = Gate()

    async def slow(exchange: Exchange) -> None:
        await gate.pause()
        await answers(status=500)(exchange)

    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(slow)
        first = asyncio.ensure_future(fetch(shop.port, "GET", "/patient", shop.bearer))
        await gate.reached()
        second = asyncio.ensure_future(fetch(shop.port, "GET", "/patient", shop.bearer))
        await until(lambda: shop.queue.waiting == 1, "the second to wait")
        gate.open()
        assert ((await first).status, (await second).status) == (500, 200)
        assert (await shop.settled()).spent == 60 * CREDIT


async def test_the_wait_ends_in_the_usual_refusal(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        other = await shop.holds.take(shop.customer_id, "external:alice", "credits", 60 * CREDIT, "", "other")
        assert isinstance(other, Hold)
        answer = await fetch(shop.port, "GET", "/hasty", shop.bearer)
        assert (answer.status, answer.get("x-sidecar-refusal")) == (429, "holds_in_flight")
        assert int(answer.get("retry-after") or 0) >= 1
        assert upstream.requests == []
        await shop.holds.release(other, "over")


async def test_who_waits_in_vain_is_lowered(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        other = await shop.holds.take(shop.customer_id, "external:alice", "credits", 60 * CREDIT, "", "other")
        assert isinstance(other, Hold)
        answer = await fetch(shop.port, "GET", "/either?limit=70", shop.bearer)
        assert (answer.status, answer.get("x-credits-clamped")) == (200, "query.limit=40")
        assert shop.queue.in_vain_total == 1
        await shop.holds.release(other, "over")


async def test_a_client_that_goes_leaves_its_place_at_once(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        other = await shop.holds.take(shop.customer_id, "external:alice", "credits", 60 * CREDIT, "", "other")
        assert isinstance(other, Hold)
        async with RawClient(shop.port) as client:
            await client.send(request("GET", "/patient", shop.bearer))
            await until(lambda: shop.queue.waiting == 1, "it to wait")
        await until(lambda: shop.queue.waiting == 0, "it to leave")
        await shop.holds.release(other, "over")
        assert (await shop.settled()).spent == 0
        assert (shop.queue.admitted_total, upstream.requests) == (0, [])
        assert shop.metrics.requests["patient", "client_gone"] == 1


async def test_a_shutdown_ends_the_wait(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        other = await shop.holds.take(shop.customer_id, "external:alice", "credits", 60 * CREDIT, "", "other")
        assert isinstance(other, Hold)
        waiting = asyncio.ensure_future(fetch(shop.port, "GET", "/patient", shop.bearer))
        await until(lambda: shop.queue.waiting == 1, "it to wait")
        assert not await shop.proxy.drain(0)
        answer = await waiting
        assert (answer.status, answer.get("x-sidecar-refusal")) == (503, "shutting_down")
        await shop.holds.release(other, "over")
        assert (await shop.settled()).spent == 0


async def test_neither_a_silent_upload_nor_its_limit_ends_the_wait(lane: Lane) -> None:
    """The rest of the body is not read meanwhile: that is not the client's fault."""
    limits = Timeouts(client_idle_s=0.05)
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES, timeouts=limits) as shop:
        other = await shop.holds.take(shop.customer_id, "external:alice", "credits", 60 * CREDIT, "", "other")
        assert isinstance(other, Hold)
        async with RawClient(shop.port) as client:
            whole = request("POST", "/patient", shop.bearer, body=b"x" * 100)
            await client.send(whole[:-9])
            await until(lambda: shop.queue.waiting == 1, "it to wait")
            ticks = shop.proxy._engine.now_s
            await until(lambda: shop.proxy._engine.now_s > ticks + 0.2, "time to pass")
            await shop.holds.release(other, "over")
            await upstream.arrived(1)
            await client.send(whole[-9:])
            assert (await client.answer()).status == 200
