"""What becomes of an answer whose client has gone: what its rule says, within limits, and what it costs."""

import pytest

from sidecar.config.settings import Limits, Timeouts
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, request
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Upstream, chunk, head

CREDIT = 1_000_000
COST = ("x-cost", "2")
CHUNKED = ("transfer-encoding", "chunked")
EVENTS = ("content-type", "text/event-stream")


class Slow:
    """Sends its head before or after the gate, then the rest of a chunked answer; `left`: its connection ended."""

    def __init__(self, *fields: tuple[str, str], early: bool = False, status: int = 200) -> None:
        self.gate = Gate()
        self.left = False
        self._head = head(status, CHUNKED, COST, *fields)
        self._early = early

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.body()
        if self._early:
            await exchange.send(self._head, chunk(b"half"))
        await self.gate.pause()
        try:
            await exchange.send(b"" if self._early else self._head, chunk(b"rest"), b"0\r\n\r\n")
        except ConnectionError:
            self.left = True


async def leave(shop: Shop, slow: Slow, path: str, *, early: bool) -> None:
    """Send a request and go away in the middle of it."""
    async with RawClient(shop.port) as client:
        await client.send(request("POST", path, shop.bearer, body=b"x"))
        await slow.gate.reached()
        if early:
            await client.receive(until=b"half")
    engine = shop.proxy._engine
    await until(lambda: not engine.connections, "the client to be gone")


@pytest.mark.parametrize("early", [False, True], ids=["before the head", "in the body"])
async def test_an_answer_that_is_no_stream_is_read_to_its_end_and_charged(lane: Lane, early: bool) -> None:
    slow = Slow(early=early)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/cost", early=early)
        drains = shop.proxy._engine.drains
        assert (len(drains.running), (await shop.balance()).held) == (1, 5 * CREDIT)
        slow.gate.open()
        assert (await shop.settled()).spent == 2 * CREDIT, "what the answer reported"
        assert (len(drains.running), drains.begun_total) == (0, 1)
        assert shop.metrics.charges == {"reported": 1}
        assert shop.metrics.requests["cost", "charged"] == 1


async def test_a_stream_is_left_at_once(lane: Lane) -> None:
    slow = Slow(EVENTS, early=True)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/cost", early=True)
        assert (await shop.settled()).spent == 2 * CREDIT, "its cost stood in its head"
        assert shop.proxy._engine.drains.begun_total == 0
        slow.gate.open()


async def test_a_stream_whose_client_went_before_it_began_is_left_when_it_begins(lane: Lane) -> None:
    slow = Slow(EVENTS)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/fixed/a", early=False)
        slow.gate.open()
        assert (await shop.settled()).spent == CREDIT, "unknown after dispatch: the hold"
        assert shop.metrics.charges == {"hold": 1}


async def test_a_rule_may_have_its_streams_read_on(lane: Lane) -> None:
    slow = Slow(EVENTS, early=True)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/read-on", early=True)
        assert len(shop.proxy._engine.drains.running) == 1
        slow.gate.open()
        assert (await shop.settled()).spent == CREDIT
        assert shop.metrics.charges == {"reported": 1}


@pytest.mark.parametrize("early", [False, True], ids=["before the head", "in the body"])
async def test_a_rule_may_have_its_answers_left(lane: Lane, early: bool) -> None:
    slow = Slow(early=early)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/left", early=early)
        await shop.settled()
        assert shop.proxy._engine.drains.begun_total == 0
        slow.gate.open()


async def test_a_failure_of_the_upstream_is_free_though_nobody_listens(lane: Lane) -> None:
    slow = Slow(status=500)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/fixed/a", early=False)
        slow.gate.open()
        assert (await shop.settled()).spent == 0


async def test_nothing_is_read_longer_than_it_may_be(lane: Lane) -> None:
    slow = Slow(early=True)
    async with Upstream(slow) as upstream, Shop(lane, upstream, timeouts=Timeouts(drain_s=0.05)) as shop:
        await leave(shop, slow, "/fixed/a", early=True)
        assert (await shop.settled()).spent == CREDIT, "unknown: the hold"
        slow.gate.open()


@pytest.mark.parametrize("early", [False, True], ids=["before the head", "in the body"])
async def test_no_more_is_read_than_may_be(lane: Lane, early: bool) -> None:
    slow = Slow(early=early)
    limits = Limits(drain_max_bytes=3)
    async with Upstream(slow) as upstream, Shop(lane, upstream, limits=limits) as shop:
        await leave(shop, slow, "/fixed/a", early=early)
        slow.gate.open()
        await shop.settled()
        assert shop.metrics.charges.total() == 1


async def test_no_more_answers_are_read_on_than_may_be(lane: Lane) -> None:
    slow = Slow(early=True)
    async with Upstream(slow) as upstream, Shop(lane, upstream, limits=Limits(drains_max=0)) as shop:
        await leave(shop, slow, "/fixed/a", early=True)
        assert (await shop.settled()).spent == CREDIT
        drains = shop.proxy._engine.drains
        assert (drains.begun_total, drains.refused_total) == (0, 1)
        slow.gate.open()


async def test_a_shutdown_waits_for_what_is_read_on_and_then_cuts_it(lane: Lane) -> None:
    slow = Slow(early=True)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/fixed/a", early=True)
        assert await shop.proxy.drain(0.05) is False
        assert (await shop.settled()).spent == 0, "our restart is not the customer's cost"
        slow.gate.open()


async def test_a_free_route_is_left(lane: Lane) -> None:
    slow = Slow(early=True)
    async with Upstream(slow) as upstream, Shop(lane, upstream) as shop:
        await leave(shop, slow, "/free", early=True)
        await shop.settled()
        assert shop.proxy._engine.drains.begun_total == 0
        slow.gate.open()


async def test_a_slow_client_that_goes_does_not_keep_the_upstream_paused(lane: Lane) -> None:
    big = 40_000_000

    async def script(exchange: Exchange) -> None:
        await exchange.send(head(200, ("content-length", str(big)), COST) + b"x" * big)

    limits = Limits(drain_max_bytes=big)
    async with Upstream(script) as upstream, Shop(lane, upstream, limits=limits) as shop:
        async with RawClient(shop.port) as client:
            await client.send(request("POST", "/cost", shop.bearer, body=b"x"))
            await client.receive(until=b"xxxx")
            engine = shop.proxy._engine
            await until(lambda: any(each.paused for each in engine.connections), "the client to be too slow")
        assert (await shop.settled()).spent == 2 * CREDIT
        assert shop.metrics.charges == {"reported": 1}
