"""Taking holds, and giving back those of which nobody knows whether they were taken."""

import asyncio

import pytest

from sidecar.domain.errors import StoreTimeout, StoreUnavailable
from sidecar.domain.outcomes import RefusalCode, Refused, Settled
from sidecar.services.hold import Hold
from sidecar.store.commands import RESERVE
from tests.services.desk import Desk
from tests.support.books import UNIT, open_member
from tests.support.relay import Relay
from tests.support.store import StoreServer
from tests.support.until import until, until_async


async def test_a_hold_is_taken_and_charged(desk: Desk) -> None:
    hold = await desk.take()
    assert (hold.held, hold.record.rule) == (300, "a-rule")
    assert await desk.books() == (700, 300, 0)
    assert await desk.commit(hold) == Settled(charged=120, available=880)
    assert await desk.books() == (880, 0, 120)
    assert (desk.holds.settling.pending, len(desk.tasks)) == (0, 0)


async def test_a_hold_is_given_back(desk: Desk) -> None:
    assert await desk.holds.release(await desk.take(), "it failed") == Settled(0, 1000)
    assert await desk.books() == (1000, 0, 0)


async def test_a_refusal_is_passed_on(desk: Desk) -> None:
    refused = await desk.try_to_take(1001)
    assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, required=1001, available=1000, unit=UNIT)


async def test_a_member_s_hold_is_paid_by_its_parent(desk: Desk) -> None:
    """Also the first one, for which nobody here knew the payer; each later one is a single command."""
    member = await open_member(desk.purse)
    for index in range(3):
        commands = desk.lane.commands_total
        hold = await desk.holds.take(member.customer_id, member.credential, UNIT, 100, feature="", rule="a-rule")
        assert desk.lane.commands_total - commands == (2 if index == 0 else 1)
        assert isinstance(hold, Hold)
        assert hold.record.payer_id == desk.purse.customer_id
        assert await desk.commit(hold, 10) == Settled(charged=10, available=990 - 10 * index)
    assert await desk.books() == (970, 0, 30)
    assert (await member.share()).spent == 30


async def test_full_journals_stop_new_holds_and_no_settlement(desk: Desk) -> None:
    hold = await desk.take()
    while desk.pressure.entries < 10:
        await desk.commit(await desk.take(1), 1)
        await desk.pressure.look()
    with pytest.raises(StoreUnavailable, match="archive is away"):
        await desk.take()
    assert await desk.commit(hold, 120) is not None
    assert (await desk.purse.balance()).held == 0


async def test_reservation_ids_are_unlike_each_other(desk: Desk) -> None:
    others = Desk(desk.lane, desk.purse)
    holds = [await each.take(1) for each in (desk, others) for _ in range(20)]
    assert len({hold.reservation_id for hold in holds}) == 40
    assert all(hold.reservation_id.startswith("rsv_") for hold in holds)


async def test_a_reserve_whose_reply_is_lost_is_given_back(relayed: Desk, relay: Relay) -> None:
    relay.lose_reply_to = RESERVE.sha
    with pytest.raises(StoreTimeout):
        await relayed.take()
    assert await relayed.holds.settling.drain(10)
    assert relay.lost_total == 1
    assert await relayed.books() == (1000, 0, 0)


async def test_nothing_is_taken_while_it_is_away(desk: Desk, store_server: StoreServer) -> None:
    store_server.kill()
    await until(lambda: not desk.lane.connected, "the connection to break")
    with pytest.raises(StoreUnavailable):
        await desk.take()
    assert desk.holds.settling.pending == 0


async def test_a_frozen_store_gives_the_hold_of_a_lost_reserve_back(desk: Desk, store_server: StoreServer) -> None:
    store_server.pause()
    with pytest.raises(StoreTimeout):
        await desk.take()
    assert desk.holds.settling.pending == 1
    store_server.resume()
    assert await desk.holds.settling.drain(10)
    assert await desk.books() == (1000, 0, 0)


async def test_a_reserve_is_given_back(desk: Desk, store_server: StoreServer) -> None:
    store_server.pause()
    caller = desk.tasks.start(desk.take(), "caller")
    await until(lambda: desk.lane.waiting, "the reserve to be sent")
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    store_server.resume()
    assert await desk.holds.settling.drain(10)

    async def back() -> bool:
        return await desk.books() == (1000, 0, 0)

    await until_async(back, "the hold to come back")
