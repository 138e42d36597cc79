"""How each exit of the table comes about: `PLAYS`, and the `SETTINGS` of the proxy that a play wants."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sidecar.config.settings import Limits
from sidecar.domain.exits import EXITS, Event, Exit, Pays, Phase
from sidecar.http1.upstream import UpstreamConnection
from sidecar.services.sweeper import Sweeper
from sidecar.store.commands import COMMIT, RESERVE
from sidecar.store.lane import Lane
from sidecar.store.ledger import Ledger
from tests.proxy.aftermath import CREDIT
from tests.proxy.shop import Shop
from tests.proxy.standing import (
    HASTY,
    OTHER,
    PAID,
    WHERE_IT_STANDS,
    At,
    Injected,
    Standing,
    fetched,
    inject_defect,
    said_to,
    standing,
)
from tests.support.books import Purse
from tests.support.rawhttp import Answer, RawClient, request
from tests.support.scripted_lane import Fault, Says, ScriptedLane
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, answers, chunk, head

Play = Callable[[Shop], Awaitable[Answer | None]]
PLAYS: dict[tuple[Phase, Event], Play] = {}
SETTINGS: dict[tuple[Phase, Event], dict[str, object]] = {}
NO = head(500, ("content-length", "0"))
ERROR_IN_STREAM = b'data: {"error": {"message": "no"}}\n\n'


def plays(
    event: Event, *phases: Phase, half: bool = False, settles: bool = True
) -> Callable[[Callable[[Standing], Awaitable[None]]], None]:
    """It happens to a request that stands in each of `phases`, which goes on then."""

    def register(act: Callable[[Standing], Awaitable[None]]) -> None:
        for phase in phases:

            async def play(shop: Shop, phase: Phase = phase) -> Answer | None:
                async with standing(phase, shop, half=half, settles=settles) as one:
                    await act(one)
                    one.go()
                    return None if one.client._ended else await said_to(one.client)

            PLAYS[phase, event] = play

    return register


def staged(phase: Phase, event: Event, **settings: object) -> Callable[[Play], Play]:
    """It happens in a way of its own."""

    def register(play: Play) -> Play:
        PLAYS[phase, event] = play
        SETTINGS[phase, event] = settings
        return play

    return register


# --- What can happen wherever a request stands -------------------------------------------------------------------


async def leave(one: Standing) -> None:
    exchange = one.exchange
    one.client.reset()
    one.client._ended = True
    await until(lambda: exchange._client.gone, "the proxy to see it")


plays(Event.CLIENT_GONE, *WHERE_IT_STANDS)(leave)


@plays(Event.CLIENT_BROKE, *(WHERE_IT_STANDS - {Phase.HEAD, Phase.SETTLE}), half=True)
async def client_broke(one: Standing) -> None:
    exchange = one.exchange
    await one.client.send(b"zz\r\n")
    await until(lambda: exchange.end is not None, "the proxy to see it")


@plays(Event.TIMEOUT, *(WHERE_IT_STANDS - {Phase.SETTLE}))
async def timeout(one: Standing) -> None:
    exchange = one.exchange
    if one.half:
        exchange._client.pause_reading_body()  # As an upstream does that does not read.
    exchange._total_at_s = 0
    exchange.check(exchange._engine.loop.time())


@plays(Event.SHUTDOWN, *WHERE_IT_STANDS)
async def shutdown(one: Standing) -> None:
    if one.phase is Phase.SETTLE:
        assert not await one.shop.holds.settling.drain(0.01), "it waits for the settlement"
    else:
        one.exchange.cut_off()


@plays(Event.DEFECT, *WHERE_IT_STANDS)
async def defect(one: Standing) -> None:
    exchange = one.exchange
    inject_defect(exchange)
    if one.phase is Phase.TLS:
        exchange._woken = True
        exchange.advance()
    elif one.phase is Phase.SEND:
        assert one.played is not None
        await one.played.send(NO)


@plays(Event.PAUSE, *(WHERE_IT_STANDS - {Phase.WAIT, Phase.IDENTITY, Phase.SETTLE}))
async def pause(one: Standing) -> None:
    await expire(one.lane.real)
    if one.phase is Phase.SEND:
        await one.client.send(b"0\r\n\r\n")


@plays(Event.PAUSE, Phase.IDENTITY, Phase.WAIT)
async def pause_before(one: Standing) -> None:
    """Nothing is held that could expire."""


@plays(Event.PAUSE, Phase.SETTLE, settles=False)
async def pause_before_the_commit(one: Standing) -> None:
    await expire(one.lane.real)


@plays(Event.CRASH, *WHERE_IT_STANDS, settles=False)
async def crash(one: Standing) -> None:
    """Nothing that the process does from here on has an effect; another one sweeps."""
    one.lane.dead = True
    await leave(one)
    one.go()
    shop = one.shop
    await until(lambda: not shop.proxy._engine.running, "the request to end")
    await shop.tasks.cancel()
    one.lane.dead = False
    if isinstance(cell := EXITS[one.phase, Event.CRASH], Exit) and cell.pays is Pays.EXPIRED:
        await expire(one.lane.real)


@staged(Phase.RULE, Event.CRASH)
async def crash_before_all(shop: Shop) -> Answer | None:
    async with RawClient(shop.port) as client:
        await client.send(b"GET /pa")
        await shop.proxy.close()
        return await said_to(client)


async def expire(lane: Lane) -> None:
    """Until the sweep has found a hold whose deadline has passed."""
    sweeper = Sweeper(Ledger(lane, tenant="default", environment="live"), interval_s=1)

    async def swept() -> bool:
        await sweeper.sweep()
        return sweeper.expired_total > 0

    await until_async(swept, "a hold to expire")


# --- The upstream ------------------------------------------------------------------------------------------------


@plays(Event.REFUSED, Phase.SEND, Phase.HEAD)
async def upstream_refuses(one: Standing) -> None:
    assert one.played is not None
    await one.played.send(NO)


@plays(Event.RESET, Phase.SEND, Phase.HEAD, Phase.BODY)
async def reset(one: Standing) -> None:
    assert one.played is not None
    one.played.reset()


@plays(Event.MALFORMED, Phase.SEND, Phase.HEAD, Phase.BODY)
async def malformed(one: Standing) -> None:
    assert one.played is not None
    await one.played.send(b"nonsense\r\n\r\n")


@staged(Phase.CONNECT, Event.REFUSED)
async def nobody_listens(shop: Shop) -> Answer | None:
    await shop.upstream.stop()
    return await fetched(shop, PAID)


@staged(Phase.CONNECT, Event.RESET)
async def closed_at_once(shop: Shop) -> Answer | None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UpstreamConnection, "connection_made", closes)
        return await fetched(shop, PAID)


def closes(connection: UpstreamConnection, transport: asyncio.Transport) -> None:
    connection._transport = transport
    connection.discard()


@staged(Phase.TLS, Event.REFUSED, tls_verify=True)
async def not_trusted(shop: Shop) -> Answer | None:
    assert isinstance(shop.upstream, At)
    shop.upstream.gate.set()
    return await fetched(shop, PAID)


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 What\r\n\r\n")
    await reader.read()


@staged(Phase.TLS, Event.RESET, raw=hangs_up)
@staged(Phase.TLS, Event.MALFORMED, raw=no_tls)
@staged(Phase.RULE, Event.PAUSE)
async def simply(shop: Shop) -> Answer | None:
    return await fetched(shop, PAID)


@staged(Phase.BODY, Event.EXHAUSTED)
async def more_than_there_is(shop: Shop) -> Answer | None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(head(200, ("transfer-encoding", "chunked")))
        while True:
            await exchange.send(chunk(b"12345678"))

    shop.upstream.once(endless)
    return await fetched(shop, "/bytes")


@staged(Phase.BODY, Event.REFUSED)
async def error_in_the_answer(shop: Shop) -> Answer | None:
    shop.upstream.once(answers(ERROR_IN_STREAM, ("content-type", "text/event-stream")))
    async with RawClient(shop.port) as client:
        await client.send(request("POST", "/chat", shop.bearer, body=b'{"model": "m", "messages": []}'))
        return await said_to(client)


# --- Our rules, and the ledger -----------------------------------------------------------------------------------


def fetching(path: str, *fields: tuple[str, str]) -> Play:
    return lambda shop: fetched(shop, path, *fields)


staged(Phase.RULE, Event.CLIENT_BROKE)(fetching("/free/../paid"))
staged(Phase.RULE, Event.REFUSED)(fetching("/none"))
staged(Phase.IDENTITY, Event.REFUSED)(fetching(PAID, ("Authorization", "Bearer nobody")))
staged(Phase.HOLD, Event.REFUSED)(fetching("/dear"))


@staged(Phase.RULE, Event.DEFECT)
async def defect_in_a_match(shop: Shop) -> Answer | None:
    def match(*_: object) -> None:
        raise Injected("made by a test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(shop.proxy._story._rules), "match", match)
        return await fetched(shop, PAID)


@staged(Phase.SETTLE, Event.REFUSED, ttl_ms=50)
async def forgotten(shop: Shop) -> Answer | None:
    lane_of(shop).at(COMMIT.sha, Says(b"unknown"))
    answer = await fetched(shop, PAID)
    await expire(lane_of(shop).real)
    return answer


@staged(Phase.WAIT, Event.REFUSED)
async def in_vain(shop: Shop) -> Answer | None:
    async with standing(Phase.WAIT, shop) as other:
        shop.metrics.requests.clear()
        answer = await fetched(shop, HASTY)
        other.client.reset()
        await until(lambda: not shop.queue.waiting, "the other one to leave")
    return answer


# --- Too much to do ----------------------------------------------------------------------------------------------


def while_one_stands(phase: Phase) -> Play:
    async def play(shop: Shop) -> Answer | None:
        async with standing(phase, shop, path=OTHER) as one:
            answer = await fetched(shop, PAID)
            one.go()
            await said_to(one.client)
            return answer

    return play


staged(Phase.RULE, Event.SHED, limits=Limits(requests_max=1))(while_one_stands(Phase.HEAD))
staged(Phase.IDENTITY, Event.SHED, limits=Limits(requests_max=2, customer_share=0.5))(while_one_stands(Phase.HEAD))
staged(Phase.CONNECT, Event.SHED, waiting_max=1)(while_one_stands(Phase.CONNECT))


@staged(Phase.HOLD, Event.SHED, limits=Limits(bodies_max_bytes=1))
async def no_memory_for_bodies(shop: Shop) -> Answer | None:
    shop.proxy._load.take_body(1)
    async with RawClient(shop.port) as client:
        await client.send(request("POST", "/read", shop.bearer, body=b"12345678")[:-4])
        answer = await said_to(client)
    shop.proxy._load.give_body_back(1)
    return answer


@staged(Phase.WAIT, Event.SHED)
async def no_room_to_wait(shop: Shop) -> Answer | None:
    async with standing(Phase.WAIT, shop) as other:
        shop.queue._waiting_max = 1
        answer = await fetched(shop, HASTY)
        other.client.reset()
        await until(lambda: not shop.queue.waiting, "the other one to leave")
    return answer


def leave_alone(shop: Shop) -> None:
    breaker = shop.proxy._upstreams.addresses[0].breaker
    while breaker.closed:
        breaker.begin()
        breaker.failed(asyncio.get_running_loop().time(), probe=False)


@staged(Phase.IDENTITY, Event.LEFT_ALONE)
async def left_alone(shop: Shop) -> Answer | None:
    leave_alone(shop)
    return await fetched(shop, PAID)


@staged(Phase.CONNECT, Event.LEFT_ALONE)
async def left_alone_meanwhile(shop: Shop) -> Answer | None:
    async with standing(Phase.HOLD, shop) as one:
        leave_alone(shop)
        one.go()
        return await said_to(one.client)


# --- The store ---------------------------------------------------------------------------------------------------


def lane_of(shop: Shop) -> ScriptedLane:
    assert isinstance(shop.lane, ScriptedLane)
    return shop.lane


def at_command(what: bytes, fault: Fault, *payer: tuple[str, str]) -> Play:
    async def play(shop: Shop) -> Answer | None:
        lane_of(shop).at(what, fault)
        return await fetched(shop, PAID, *payer)

    return play


def in_the_queue(fault: Fault) -> Play:
    """All tries after the first one fail."""

    async def play(shop: Shop) -> Answer | None:
        lane, tries = lane_of(shop), 0

        def plan(_number: int, packed: bytes) -> Fault | None:
            nonlocal tries
            tries += RESERVE.sha in packed
            return fault if tries > 1 and RESERVE.sha in packed else None

        other = Purse(lane.real, shop.customer_id, "alice")
        record = other.record("other", 60 * CREDIT, rule="other")
        await other.ledger.reserve(record, other.credential)
        lane.plan = plan
        answer = await fetched(shop, HASTY)
        lane.plan = lambda _number, _packed: None
        await other.ledger.release(record, "over")
        return answer

    return play


for fault_, event_ in ((Fault.REFUSED, Event.STORE_ERROR), (Fault.NEVER, Event.STORE_TIMEOUT)):
    staged(Phase.IDENTITY, event_)(at_command(b"$3\r\nGET\r\n", fault_, ("X-User", "alice")))
    staged(Phase.HOLD, event_)(at_command(RESERVE.sha, fault_))
    staged(Phase.SETTLE, event_)(at_command(COMMIT.sha, fault_))
    staged(Phase.WAIT, event_)(in_the_queue(fault_))
