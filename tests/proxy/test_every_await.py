"""Each place at which a request waits × what may happen there, and each command to the store × how that may fail.

Nobody lists the places: a request is led through all of them, one more each time, until it ends before the next one.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import h11
import pytest

from sidecar.domain.journal import Kind
from sidecar.domain.outcomes import Reserved
from sidecar.http1.driver import Driven
from sidecar.http1.exchange import Exchange as Proxied
from sidecar.store.lane import Lane
from tests.proxy.aftermath import CREDIT, ENDS, RULES, Leftovers, assert_nothing_left, ended, lines_of
from tests.proxy.shop import GRANTED, Shop
from tests.proxy.standing import inject_defect
from tests.support.books import Purse
from tests.support.rawhttp import Answer, RawClient, request
from tests.support.scripted_lane import Fault, ScriptedLane
from tests.support.until import until
from tests.support.upstream import Exchange, Upstream, chunk, head

PLACES_MAX = 40
BODY = b'{"size": "small"}'
PAYER = ("X-User", "alice")
WAYS = {"/read": CREDIT, "/patient": 60 * CREDIT, "/free": 0}
"""A request whose body a rule reads, one that waits for another's hold, a free one; and what each costs at most."""


async def in_pieces(exchange: Exchange) -> None:
    """An answer that comes bit by bit."""
    await exchange.body()
    await exchange.send(head(200, ("transfer-encoding", "chunked")), chunk(b"a"), chunk(b"b"), b"0\r\n\r\n")


def defect(exchange: Proxied) -> None:
    inject_defect(exchange)


def client_gone(exchange: Proxied) -> None:
    transport = exchange._client._transport
    assert transport is not None
    exchange._engine.loop.call_soon(transport.abort)


def shutdown(exchange: Proxied) -> None:
    exchange._engine.loop.call_soon(exchange.cut_off)


def timeout(exchange: Proxied) -> None:
    exchange._total_at_s = 0
    exchange._engine.loop.call_soon(lambda: exchange.check(exchange._engine.loop.time()))


EVENTS: list[Callable[[Proxied], None]] = [defect, client_gone, shutdown, timeout]


@asynccontextmanager
async def shops(lane: Lane) -> AsyncIterator[tuple[ScriptedLane, Shop]]:
    leftovers, scripted = Leftovers(), ScriptedLane(lane)
    async with Upstream(in_pieces) as upstream, Shop(scripted, upstream, rules=RULES) as shop:
        yield scripted, shop
    await leftovers.assert_none()


async def ask(shop: Shop, path: str) -> Answer | None:
    """One request in two pieces; None when there was no whole answer."""
    whole = request("POST", path, PAYER, body=BODY)
    async with other_hold(shop, path == "/patient"), RawClient(shop.port) as client:
        await client.send(whole[:-4], whole[-4:])
        try:
            return await client.answer("POST")
        except (ConnectionError, h11.RemoteProtocolError):
            return None


@asynccontextmanager
async def other_hold(shop: Shop, wanted: bool) -> AsyncIterator[None]:
    """Something that is held until a request waits for it, or has ended."""
    if not wanted:
        yield
        return
    lane = shop.lane
    assert isinstance(lane, ScriptedLane)
    other = Purse(lane.real, shop.customer_id, "alice")
    record = other.record("other", 60 * CREDIT, rule="other")
    assert isinstance(await other.ledger.reserve(record, other.credential), Reserved)

    async def give_back() -> None:
        await until(lambda: shop.queue.waiting or shop.metrics.requests, "the request to wait, or to end")
        await other.ledger.release(record, "over")

    async with asyncio.TaskGroup() as group:
        group.create_task(give_back())
        yield


async def assert_settled_once(shop: Shop, answer: Answer | None, most: int) -> None:
    """One line for one hold at most, counted once, and nobody pays for what was refused before it was sent."""
    await ended(shop)
    await assert_nothing_left(shop)
    lines = [line for line in await lines_of(shop) if line.hold is not None and line.hold.rule != "other"]
    assert len([line for line in lines if line.kind in ENDS]) <= 1
    balance = await shop.balance()
    assert balance.spent <= most
    assert balance.available + balance.spent == GRANTED
    counted = {outcome: count for (_, outcome), count in shop.metrics.requests.items()}
    assert sum(counted.values()) == 1, counted
    if balance.spent:
        assert lines[0].kind in (Kind.COMMIT, Kind.LATE_COMMIT)
    if not shop.upstream.requests:
        assert balance.spent == 0
    if answer is not None and answer.status == 200:
        assert "released" not in counted
    for line in lines:
        if line.kind is Kind.RELEASE:
            assert line.reason.partition(": ")[0], "a release says why"


@pytest.mark.parametrize("path", WAYS)
@pytest.mark.parametrize("event", EVENTS, ids=lambda each: each.__name__)
async def test_whatever_happens_wherever_a_request_waits(
    lane: Lane, monkeypatch: pytest.MonkeyPatch, event: Callable[[Proxied], None], path: str
) -> None:
    step = Driven._step
    place = reached = 0

    def stepped(exchange: Proxied, done: object = None) -> None:
        nonlocal reached
        step(exchange, done)
        if exchange._story is not None:
            reached += 1
            if reached == place:
                event(exchange)

    monkeypatch.setattr(Driven, "_step", stepped)
    for place in range(1, PLACES_MAX):
        reached = 0
        async with shops(lane) as (_, shop):
            await assert_settled_once(shop, await ask(shop, path), WAYS[path])
        await lane.execute("FLUSHALL")
        if reached < place:
            break
    assert reached < place, "it never came to an end"
    assert path == "/free" or place > 5, "it waits for body, payer, hold, connection, head, answer and settlement"


def nth(place: int, fault: Fault) -> Callable[[int, bytes], Fault | None]:
    """The plan of a lane for one command."""
    return lambda number, _packed: fault if number == place else None


@pytest.mark.parametrize("path", WAYS)
@pytest.mark.parametrize("fault", Fault, ids=lambda each: each.name)
async def test_whatever_happens_to_a_command(lane: Lane, fault: Fault, path: str) -> None:
    for place in range(1, PLACES_MAX):
        async with shops(lane) as (scripted, shop):
            before = scripted.asked_total
            scripted.plan = nth(before + place, fault)
            answer = await ask(shop, path)
            asked = scripted.asked_total - before
            scripted.plan = lambda _number, _packed: None
            await assert_settled_once(shop, answer, WAYS[path])
        await lane.execute("FLUSHALL")
        if asked < place:
            break
    assert place < PLACES_MAX, "it never came to an end"
    assert path == "/free" or place > 3, "it asks who pays, holds and settles"
