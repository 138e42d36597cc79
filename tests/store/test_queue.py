"""The queue of those who wait for holds to come back, as the scripts keep it: who stands where, who is told."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.domain.outcomes import (
    Ended,
    RefusalCode,
    Refused,
    Reserved,
    UnknownReservation,
    Waiting,
)
from sidecar.store.audit import Audit
from sidecar.store.lane import Lane
from sidecar.store.ledger import Patience
from sidecar.store.subscription import Subscription
from tests.support.books import ENVIRONMENT, TENANT, TTL_MS, UNIT, Purse, open_lane, open_member, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right
from tests.support.until import until

WAIT_MS = 2_000
TOLD_WITHIN_MS = 1_000
"""So long a process that was told to try again may take."""
WAITING_AT = 84
"""Where in an account stands whether anybody waits."""


class Hall:
    """A purse of 1,000 of which 900 are held as `held`, and what two processes hear: ``rsv_a_…`` and ``rsv_b_…``."""

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self.heard: list[str] = []

    async def listen(self, lane: Lane, process: str) -> Subscription:
        return await lane.listen(
            f"sidecar:woken:rsv_{process}".encode(), lambda name: self.heard.append(name.decode())
        )

    async def wait(
        self, name: str, amount: int, *, wait_ms: int = WAIT_MS, queue_max: int = 10, purse: Purse | None = None
    ) -> object:
        purse = purse or self.purse
        record = purse.records[name] = purse.record(name, amount)
        return await purse.ledger.reserve_in_turn(
            record, purse.credential, Patience(wait_ms=wait_ms, queue_max=queue_max)
        )

    async def waits(self, name: str, amount: int, **terms: Any) -> None:
        assert isinstance(await self.wait(name, amount, **terms), Waiting)

    async def told(self, *names: str) -> None:
        """They were told, nobody else, and in this order. (A later reply has come, so whatever was said is heard.)"""
        await until(lambda: len(self.heard) >= len(names), f"{names} to be told")
        await self.purse.lane.execute("PING")
        assert self.heard == list(names)
        self.heard.clear()

    async def anybody_waits(self) -> bool:
        place = self.purse.keys.account(self.purse.customer_id, UNIT)
        flag: bytes = await self.purse.lane.execute("GETRANGE", place.account, WAITING_AT, WAITING_AT)
        queue = await self.purse.lane.execute(
            "HEXISTS", self.purse.keys.of(self.purse.customer_id).holds, "waiters credits"
        )
        assert flag == bytes([queue])
        return bool(queue)


@pytest.fixture
async def hall(lane: Lane, purse: Purse) -> AsyncIterator[Hall]:
    hall = Hall(purse)
    await purse.reserve("held", 900)
    subscriptions = [await hall.listen(lane, process) for process in ("a", "b")]
    yield hall
    for subscription in subscriptions:
        subscription.close()
    await assert_right(purse)


async def test_who_does_not_fit_waits_and_is_told_when_it_does(hall: Hall) -> None:
    shortage = Refused(RefusalCode.HOLDS_IN_FLIGHT, required=300, available=100, held=900, unit=UNIT)
    assert await hall.wait("rsv_a_1", 300) == Waiting(shortage)
    assert await hall.purse.commit("held", 500) is not None
    await hall.told("rsv_a_1")
    assert isinstance(await hall.wait("rsv_a_1", 300), Reserved)
    assert not await hall.anybody_waits()
    assert (await hall.purse.balance()).held == 300


async def test_who_fits_does_not_wait(hall: Hall) -> None:
    assert isinstance(await hall.wait("rsv_a_1", 100), Reserved)
    assert not await hall.anybody_waits()


async def test_who_can_never_fit_does_not_wait_nor_stand_behind_others(hall: Hall) -> None:
    await hall.waits("rsv_a_1", 1000)
    refused = await hall.wait("rsv_b_1", 1001)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.INSUFFICIENT_CREDITS


async def test_one_that_can_not_fit_any_more_leaves_and_the_next_is_told(hall: Hall) -> None:
    await hall.waits("rsv_a_1", 900)
    await hall.waits("rsv_b_1", 300)
    await hall.purse.commit("held", 500)
    await hall.told()
    refused = await hall.wait("rsv_a_1", 900)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.INSUFFICIENT_CREDITS
    await hall.told("rsv_b_1")


class TestTheOrder:
    async def test_is_that_in_which_they_came(self, hall: Hall) -> None:
        for name in ("rsv_a_1", "rsv_b_1", "rsv_a_2"):
            await hall.waits(name, 900)
        await hall.purse.release("held")
        await hall.told("rsv_a_1")
        for name, following in (("rsv_a_1", "rsv_b_1"), ("rsv_b_1", "rsv_a_2"), ("rsv_a_2", None)):
            for other in ("rsv_a_2", "rsv_b_1"):
                if name == "rsv_a_1":
                    await hall.waits(other, 900)
            assert isinstance(await hall.wait(name, 900), Reserved)
            await hall.purse.release(name)
            await hall.told(*([following] if following else []))
        assert not await hall.anybody_waits()

    async def test_who_comes_later_does_not_take_what_those_before_it_want(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 200)
        await hall.waits("rsv_a_2", 50)
        await hall.purse.commit("held", 660)
        await hall.told("rsv_a_1", "rsv_a_2")
        await hall.waits("rsv_b_2", 100)
        assert isinstance(await hall.wait("rsv_b_3", 0), Reserved)

    async def test_what_is_beyond_their_wants_is_free_for_all(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 200)
        await hall.purse.commit("held", 500)
        assert isinstance(await hall.wait("rsv_b_1", 300), Reserved)
        assert isinstance(await hall.wait("rsv_a_1", 200), Reserved)

    async def test_who_does_not_wait_is_not_held_up(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 200)
        assert isinstance(await hall.purse.reserve("hasty", 100), Reserved)
        await hall.purse.commit("held", 850)
        await hall.told()

    async def test_as_many_are_told_as_there_is_enough_for(self, hall: Hall) -> None:
        for number in range(5):
            await hall.waits(f"rsv_a_{number}", 300)
        await hall.purse.commit("held", 200)
        await hall.told("rsv_a_0", "rsv_a_1")
        await hall.purse.grant(250)
        await hall.told("rsv_a_2")

    async def test_trying_again_keeps_the_place(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 200)
        await hall.waits("rsv_b_1", 200)
        await hall.waits("rsv_a_1", 200)
        await hall.purse.commit("held", 800)
        await hall.told("rsv_a_1")

    async def test_one_that_was_told_and_found_nothing_is_told_again(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 200)
        await hall.purse.commit("held", 700)
        await hall.told("rsv_a_1")
        await hall.purse.reserve("hasty", 300)
        await hall.waits("rsv_a_1", 200)
        await hall.purse.release("hasty")
        await hall.told("rsv_a_1")


class TestLeaving:
    async def test_a_last_try_that_fails_leaves_and_the_next_is_told(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 900)
        await hall.waits("rsv_b_1", 300)
        await hall.purse.commit("held", 100)
        await hall.purse.reserve("hasty", 600)
        hall.heard.clear()
        refused = await hall.wait("rsv_a_1", 900, wait_ms=0)
        assert isinstance(refused, Refused)
        assert refused.code is RefusalCode.HOLDS_IN_FLIGHT
        await hall.told("rsv_b_1")

    async def test_a_release_leaves_for_good(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 900)
        await hall.purse.resize("held", 950)
        await hall.waits("rsv_b_1", 60)
        await hall.purse.grant(30)
        await hall.told()
        assert await hall.purse.release("rsv_a_1") == UnknownReservation()
        await hall.told("rsv_b_1")
        assert await hall.wait("rsv_a_1", 900) == Ended()

    async def test_a_release_of_what_never_waited_changes_nothing(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 900)
        await hall.purse.release("rsv_b_1")
        await hall.told()
        assert await hall.anybody_waits()

    async def test_a_customer_that_is_gone_leaves(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 900)
        record = hall.purse.records["rsv_a_1"]
        refused = await hall.purse.ledger.reserve_in_turn(
            record, "external:nobody", Patience(wait_ms=WAIT_MS, queue_max=9)
        )
        assert refused == Refused(RefusalCode.UNIDENTIFIED, required=900, unit=UNIT)
        assert not await hall.anybody_waits()

    async def test_a_full_queue_takes_nobody(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 900, queue_max=1)
        refused = await hall.wait("rsv_b_1", 900, queue_max=1)
        assert isinstance(refused, Refused)
        assert refused.code is RefusalCode.HOLDS_IN_FLIGHT
        await hall.waits("rsv_a_1", 900, queue_max=1)


class TestWhatLetsSomethingBecomeAvailable:
    """Each of these tells the first in the queue."""

    async def test_a_release(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 300)
        await hall.purse.release("held")
        await hall.told("rsv_a_1")

    async def test_a_grant(self, hall: Hall) -> None:
        await hall.waits("rsv_a_1", 300)
        await hall.purse.grant(199)
        await hall.told()
        await hall.purse.grant(1)
        await hall.told("rsv_a_1")

    async def test_a_grant_that_has_debt_to_pay_first(self, hall: Hall) -> None:
        await hall.purse.reserve("dear", 100)
        await hall.waits("rsv_a_1", 300)
        await hall.purse.commit("dear", 150)
        await hall.purse.grant(349)
        await hall.told()
        await hall.purse.grant(1)
        await hall.told("rsv_a_1")

    async def test_a_void_that_starts_the_next_block(self, hall: Hall) -> None:
        first = await hall.purse.grant(5, "first")
        await hall.purse.grant(500, "second", starts_after_block_id=first.block_id)
        await hall.waits("rsv_a_1", 300)
        await hall.purse.void("first")
        await hall.told("rsv_a_1")


@pytest.fixture
async def timed(clock: StoreClock, shared_store: object, store_url: str) -> AsyncIterator[tuple[Hall, StoreClock]]:
    """The same with a clock that stands still."""
    async with open_lane(store_url) as lane:
        hall = Hall(await open_purse(lane, granted=1000))
        await hall.purse.reserve("held", 900)
        subscription = await hall.listen(lane, "a")
        yield hall, clock
        subscription.close()
        await assert_right(hall.purse)


class TestTime:
    async def test_a_sweep_of_an_overdue_hold_tells(self, timed: tuple[Hall, StoreClock]) -> None:
        hall, clock = timed
        await hall.waits("rsv_a_1", 300, wait_ms=2 * TTL_MS)
        clock.tick(TTL_MS)
        assert await hall.purse.sweep() == 1
        await hall.told("rsv_a_1")

    async def test_a_sweep_of_a_block_that_starts_tells(self, timed: tuple[Hall, StoreClock]) -> None:
        hall, clock = timed
        await hall.purse.grant(500, "later", starts_at_ms=clock.now_ms + 1000)
        await hall.waits("rsv_a_1", 300)
        await hall.purse.sweep()
        await hall.told()
        clock.tick(1000)
        await hall.purse.sweep()
        await hall.told("rsv_a_1")

    async def test_whose_patience_has_ended_is_not_told_nor_waited_for(self, timed: tuple[Hall, StoreClock]) -> None:
        hall, clock = timed
        await hall.waits("rsv_a_1", 300)
        await hall.waits("rsv_a_2", 300, wait_ms=10 * WAIT_MS)
        clock.tick(WAIT_MS + TOLD_WITHIN_MS)
        await hall.purse.commit("held", 700)
        await hall.told("rsv_a_2")

    async def test_who_is_told_and_does_not_come_is_passed_over(self, timed: tuple[Hall, StoreClock]) -> None:
        hall, clock = timed
        await hall.waits("rsv_a_1", 300)
        await hall.waits("rsv_a_2", 300)
        await hall.purse.commit("held", 700)
        await hall.told("rsv_a_1")
        clock.tick(TOLD_WITHIN_MS)
        await hall.waits("rsv_a_3", 10)
        clock.tick(1)
        assert isinstance(await hall.wait("rsv_a_2", 300), Reserved)
        await hall.purse.release("rsv_a_2")
        assert isinstance(await hall.wait("rsv_a_1", 300), Reserved)

    async def test_a_sweep_tells_the_next_when_nobody_else_does(self, timed: tuple[Hall, StoreClock]) -> None:
        hall, clock = timed
        await hall.waits("rsv_a_1", 500, wait_ms=60_000)
        await hall.waits("rsv_a_2", 500, wait_ms=60_000)
        await hall.purse.commit("held", 400)
        await hall.told("rsv_a_1")
        for tick_ms, told in ((TOLD_WITHIN_MS, []), (1, ["rsv_a_2"]), (TOLD_WITHIN_MS + 1, [])):
            clock.tick(tick_ms)
            await hall.purse.sweep()
            await hall.told(*told)
            await assert_right(hall.purse)
        assert isinstance(await hall.wait("rsv_a_2", 500), Reserved)

    async def test_of_who_does_not_listen_nobody_waits(self, timed: tuple[Hall, StoreClock]) -> None:
        hall, _ = timed
        await hall.waits("rsv_dead_1", 300)
        await hall.waits("rsv_a_1", 300)
        await hall.purse.commit("held", 700)
        await hall.told("rsv_a_1")
        assert isinstance(await hall.wait("rsv_dead_1", 300), Reserved)

    async def test_the_sweep_forgets_a_queue_in_which_nobody_waits(self, timed: tuple[Hall, StoreClock]) -> None:
        hall, clock = timed
        await hall.waits("rsv_a_1", 300)
        clock.tick(TTL_MS)
        await hall.purse.sweep()
        assert await hall.purse.lane.execute("HKEYS", hall.purse.keys.of(hall.purse.customer_id).holds) == [b"held"]
        assert isinstance(await hall.wait("rsv_a_2", 300), Reserved)
        assert not await hall.anybody_waits()


async def test_a_member_waits_for_what_its_parent_holds(hall: Hall) -> None:
    member = await open_member(hall.purse, cap=500)
    await member.reserve("first", 1)
    assert isinstance(await hall.wait("rsv_a_1", 300, purse=member), Waiting)
    await hall.purse.release("held")
    await hall.told("rsv_a_1")
    assert isinstance(await hall.wait("rsv_a_1", 300, purse=member), Reserved)
    refused = await hall.wait("rsv_a_2", 300, purse=member)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.POOL_CAP_REACHED


async def test_a_queue_is_no_hold(hall: Hall) -> None:
    """Neither for who lists them, nor for who verifies the books."""
    await hall.waits("rsv_a_1", 300)
    assert [hold.reservation_id for hold in await hall.purse.holds()] == ["held"]
    audit = Audit(hall.purse.lane, tenant=TENANT, environment=ENVIRONMENT)
    books = await audit.payer(hall.purse.customer_id)
    assert (books.holds, books.torn) == (1, ())


async def test_two_units_have_two_queues(hall: Hall) -> None:
    await hall.purse.grant(100, "tokens", unit="tokens")
    await hall.purse.reserve("theirs", 90, unit="tokens")
    record = hall.purse.records["rsv_a_1"] = hall.purse.record("rsv_a_1", 50, unit="tokens")
    patience = Patience(wait_ms=WAIT_MS, queue_max=9)
    assert isinstance(await hall.purse.ledger.reserve_in_turn(record, hall.purse.credential, patience), Waiting)
    assert not await hall.anybody_waits()
    await hall.purse.release("held")
    await hall.told()
    await hall.purse.ledger.release(hall.purse.record("theirs", 90, unit="tokens"), "it failed")
    await hall.told("rsv_a_1")
