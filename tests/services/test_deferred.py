"""Settling by a token: once, by the price that was agreed, and by nobody without it."""

from fractions import Fraction

import pytest

from sidecar.domain.errors import Conflict, InvalidInput, NotFound, Unsigned
from sidecar.domain.metering import Bill, Meters, Tariff
from sidecar.domain.price import Price
from sidecar.domain.tokens import Signer
from sidecar.services.deferred import Deferred, SettledLater
from sidecar.services.hold import Hold
from tests.services.desk import Desk
from tests.support.books import UNIT
from tests.support.store import StoreServer

QUOTE = Bill(Tariff(Meters(), max_charge=900), Price.of({"gpu_ms": Fraction(2)}, 10), 300)


def deferred(desk: Desk, key: bytes = b"k" * 32) -> Deferred:
    return Deferred(desk.purse.ledger, Signer(lambda: key, tenant="acme", environment="live"))


async def taken(desk: Desk) -> Hold:
    hold = await desk.holds.take(
        desk.purse.customer_id, desk.purse.credential, UNIT, 300, "chat", "a-rule", attempt_id=desk.holds.next_id()
    )
    assert isinstance(hold, Hold)
    await desk.holds.leave_open(hold, 3600)
    return hold


async def test_usage_is_charged_once_however_often_it_is_told(desk: Desk) -> None:
    hold, jobs = await taken(desk), deferred(desk)
    assert await desk.books() == (700, 300, 0)
    token = jobs.token(QUOTE, hold, 3600)
    first = await jobs.settle(token, {"gpu_ms": 45})
    assert first == SettledLater(reservation_id=hold.reservation_id, unit=UNIT, charged=100)
    again = await deferred(desk).settle(token, {"gpu_ms": 45})
    assert (again.charged, again.replayed) == (100, True)
    assert (await desk.books(), jobs.settled_total) == ((900, 0, 100), 1)
    (line,) = [line for line in await desk.purse.lines() if line.charged]
    assert (line.usage, line.source, line.hold and line.hold.rule) == ("gpu_ms=45", "reported", "a-rule")


async def test_what_failed_costs_nothing(desk: Desk) -> None:
    hold, jobs = await taken(desk), deferred(desk)
    token = jobs.token(QUOTE, hold, 3600)
    assert (await jobs.settle(token, None)).charged is None
    assert (await jobs.settle(token, None)).replayed
    assert await desk.books() == (1000, 0, 0)


async def test_what_was_said_stands(desk: Desk) -> None:
    hold, jobs = await taken(desk), deferred(desk)
    token = jobs.token(QUOTE, hold, 3600)
    await jobs.settle(token, {"gpu_ms": 45})
    with pytest.raises(Conflict, match="it is committed"):
        await jobs.settle(token, {"gpu_ms": 46})
    with pytest.raises(Conflict, match="it is committed"):
        await jobs.settle(token, None)
    assert await desk.books() == (900, 0, 100)


async def test_it_costs_no_more_than_was_agreed(desk: Desk) -> None:
    hold, jobs = await taken(desk), deferred(desk)
    settled = await jobs.settle(jobs.token(QUOTE, hold, 3600), {"gpu_ms": 10**9})
    assert settled.charged == 900


async def test_only_our_token_settles(desk: Desk) -> None:
    hold, jobs = await taken(desk), deferred(desk)
    for token in (deferred(desk, b"x" * 32).token(QUOTE, hold, 60), "settle.a.b", ""):
        with pytest.raises(Unsigned):
            await jobs.settle(token, {"gpu_ms": 1})
    with pytest.raises(InvalidInput):
        await jobs.settle(jobs.token(QUOTE, hold, 60), {"other": 1})
    assert await desk.books() == (700, 300, 0)


async def test_a_job_that_is_not_held_any_more_is_not_found(desk: Desk) -> None:
    hold, jobs = await taken(desk), deferred(desk)
    token = jobs.token(QUOTE, hold, 3600)
    await desk.lane.execute("FLUSHALL")
    with pytest.raises(NotFound, match="time is over"):
        await jobs.settle(token, {"gpu_ms": 1})


async def test_its_hold_lives_as_long_as_was_agreed_and_nobody_keeps_it_alive(desk: Desk) -> None:
    hold = await taken(desk)
    (held,) = await desk.purse.holds()
    assert held.expires_at_ms - held.created_at_ms >= 3_600_000
    assert hold not in desk.holds.upkeep._running


async def test_until_the_store_answers_it_is_kept_alive(desk: Desk, store_server: StoreServer) -> None:
    hold = await desk.take()
    store_server.pause()
    await desk.holds.leave_open(hold, 3600)
    assert hold in desk.holds.upkeep._running
    store_server.resume()
    while hold in desk.holds.upkeep._running:
        await desk.lane.execute("PING")
    (held,) = await desk.purse.holds()
    assert held.expires_at_ms - held.created_at_ms >= 3_600_000
