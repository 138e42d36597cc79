"""The store by another clock than its own: what scripts do then, and what they leave as it is."""

import time

import pytest

from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.journal import Kind
from sidecar.domain.outcomes import Ended, Reserved, Settled
from sidecar.store.commands import RESERVE, SCRIPTS, shifted
from sidecar.store.lane import Lane
from sidecar.store.shifted_lane import Shift, ShiftedLane
from tests.support.books import Purse, in_credits, open_lane, open_purse

HOUR_MS = 3_600_000
BY_TIME = sorted(shifted().values(), key=lambda script: script.name)


@pytest.fixture
def shift() -> Shift:
    return Shift()


@pytest.fixture
async def purse(lane: Lane, shift: Shift) -> Purse:
    """With nothing yet."""
    return await open_purse(ShiftedLane(lane, shift), granted=0)


async def test_every_script_that_goes_by_the_time_has_a_variant_that_compiles(lane: Lane) -> None:
    assert {script.name for script in BY_TIME} >= {"reserve", "commit", "sweep", "create_customer", "change_key"}
    for script in BY_TIME:
        assert await lane.execute("SCRIPT", "LOAD", script.text) == script.sha
    assert len(shifted()) < len(SCRIPTS)


async def test_credit_expires_and_holds_lapse_when_the_clock_is_moved(purse: Purse, shift: Shift) -> None:
    now_ms = shift.now_ms()
    await purse.grant(100, "kept")
    await purse.grant(50, "ends", expires_at_ms=now_ms + HOUR_MS)
    assert isinstance(await purse.reserve("r1", 120, ttl_ms=HOUR_MS), Reserved)
    shift.ahead_ms = 2 * HOUR_MS
    assert await purse.sweep() == 1
    assert await purse.balance() == in_credits(150, 100, 0, 0, expired=50)
    # It is known for a quarter of an hour of that clock that it was there.
    assert isinstance(await purse.reserve("r1", 120, ttl_ms=HOUR_MS), Ended)
    shift.ahead_ms += HOUR_MS
    await purse.sweep()
    assert isinstance(await purse.reserve("r1", 90, ttl_ms=HOUR_MS), Reserved)


async def test_the_journal_goes_by_it(purse: Purse, shift: Shift) -> None:
    await purse.grant(100, "now")
    shift.ahead_ms = HOUR_MS
    for number in range(3):
        await purse.grant(1, f"later {number}")
    first, *later = (line.position for line in await purse.lines())
    assert [place.ms - first.ms >= HOUR_MS for place in later] == [True] * 3
    assert sorted(later) == later


async def test_a_clock_that_two_see_differently_breaks_nothing(purse: Purse, shift: Shift, lane: Lane) -> None:
    behind = purse.elsewhere(lane)
    await purse.grant(100, "one")
    shift.ahead_ms = HOUR_MS
    await purse.grant(10, "ends", expires_at_ms=shift.now_ms() + HOUR_MS)
    assert isinstance(await purse.reserve("r1", 60, ttl_ms=HOUR_MS), Reserved)
    assert isinstance(await behind.reserve("r2", 20, ttl_ms=HOUR_MS), Reserved)
    assert isinstance(await behind.commit("r1", 50), Settled)
    assert isinstance(await purse.commit("r2", 20), Settled)
    shift.ahead_ms = 3 * HOUR_MS
    await purse.sweep()
    await behind.grant(5, "five")
    lines = await purse.lines()
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    assert sorted(line.position for line in lines) == [line.position for line in lines]
    balance = await behind.balance()
    assert balance.available == 115 - 70 - balance.expired
    assert lines[-1].kind is Kind.GRANT


async def test_others_are_not_shifted(purse: Purse, shift: Shift, lane: Lane) -> None:
    shift.ahead_ms = HOUR_MS
    await purse.grant(1, "here")
    bob = await open_purse(lane, "bob", granted=0)
    await bob.grant(100, "ends", expires_at_ms=time.time_ns() // 1_000_000 + HOUR_MS // 2)
    assert await bob.balance() == in_credits(100, 100, 0, 0)


async def test_a_mistake_is_told_with_its_place(lane: Lane, shift: Shift) -> None:
    shift.ahead_ms = 1
    with pytest.raises(StoreCorrupt, match=r"[a-z]\.lua:\d+"):
        await ShiftedLane(lane, shift).send(RESERVE.pack([b"k"] * 6, ["x"]))


async def test_it_says_of_the_connection_what_its_lane_says(store_url: str, shift: Shift) -> None:
    async with open_lane(store_url) as lane:
        shifted_lane = ShiftedLane(lane, shift)
        await shifted_lane.execute("PING")
        assert shifted_lane.commands_total == lane.commands_total
        assert (shifted_lane.connected, shifted_lane.waiting, shifted_lane.counts_listeners) == (True, 0, True)
        assert (shifted_lane.timeouts_total, shifted_lane.reconnects_total) == (0, 0)
        assert shifted_lane.flushes_total == lane.flushes_total
        assert shifted_lane.round_trips is lane.round_trips
