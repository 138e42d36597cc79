"""How holds end: in time, late, before they began; what is remembered of it, and for how long."""

import pytest

from sidecar.domain.blocks import Slice
from sidecar.domain.journal import Kind
from sidecar.domain.outcomes import (
    Ended,
    HoldState,
    Overrun,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from tests.support.books import HELD, TOKENS, TTL_MS, Purse, in_credits
from tests.support.clock import StoreClock
from tests.support.sums import assert_due_in_time, assert_right

LATE_MS, DEAD_MS, REMEMBERED_MS = 900_000, 60_000, 86_400_000


class TestExpiry:
    async def test_an_overdue_hold_goes_back(self, purse: Purse) -> None:
        """By the server's own clock."""
        await purse.expired("r1", 300)
        assert await purse.balance() == in_credits(1000, 1000, 0, 0)
        await assert_right(purse)

    async def test_at_its_deadline_and_not_before(self, clock: StoreClock, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        clock.tick(TTL_MS - 1)
        assert await purse.sweep() == 0
        assert await purse.balance() == in_credits(1000, 700, 300, 0)
        clock.tick(1)
        assert await purse.sweep() == 1
        assert await purse.balance() == in_credits(1000, 1000, 0, 0)
        await assert_right(purse)

    async def test_a_commit_between_deadline_and_sweep_is_in_time(self, clock: StoreClock, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        clock.tick(TTL_MS + 1)
        assert await purse.commit("r1", 250) == Settled(charged=250, available=750)
        assert await purse.sweep() == 0
        await assert_right(purse)

    async def test_a_late_commit_is_charged_and_says_so(self, clock: StoreClock, purse: Purse) -> None:
        await self.overdue(clock, purse, 300)
        assert await purse.commit("r1", 250) == Settled(charged=250, available=750, late=True)
        assert await purse.commit("r1", 250) == UnknownReservation()
        assert await purse.balance() == in_credits(1000, 750, 0, 250)
        assert (await purse.lines())[-1].kind is Kind.LATE_COMMIT
        await assert_right(purse)

    async def test_a_late_commit_owes_what_is_no_longer_there(self, clock: StoreClock, purse: Purse) -> None:
        await self.overdue(clock, purse, 800)
        await purse.reserve("r2", 900)
        late = await purse.commit("r1", 800)
        assert late == Settled(charged=800, available=0, owed=700, late=True)
        assert await purse.balance() == in_credits(1000, 0, 900, 100, 700)
        await assert_right(purse)

    async def test_a_late_commit_may_be_capped(self, clock: StoreClock, purse: Purse) -> None:
        await self.overdue(clock, purse, 800)
        await purse.reserve("r2", 900)
        late = await purse.commit("r1", 800, overrun=Overrun.CAP)
        assert late == Settled(charged=100, available=0, late=True, uncollected=700)
        await assert_right(purse)

    async def test_a_late_release_changes_nothing(self, clock: StoreClock, purse: Purse) -> None:
        await self.overdue(clock, purse, 300)
        assert await purse.release("r1") == UnknownReservation()
        assert await purse.balance() == in_credits(1000, 1000, 0, 0)
        assert await purse.commit("r1", 250) == Settled(charged=250, available=750, late=True)

    async def test_a_reserve_after_it_holds_nothing(self, clock: StoreClock, purse: Purse) -> None:
        await self.overdue(clock, purse, 300)
        assert await purse.reserve("r1", 300) == Ended()
        assert await purse.balance() == in_credits(1000, 1000, 0, 0)

    async def test_it_can_be_late_for_a_quarter_of_an_hour(self, clock: StoreClock, purse: Purse) -> None:
        for name in ("r1", "r2"):
            await purse.reserve(name, 300)
        clock.tick(TTL_MS)
        await purse.sweep()
        clock.tick(LATE_MS - 1)
        await purse.sweep()
        assert await purse.commit("r1", 250) == Settled(charged=250, available=750, late=True)
        clock.tick(1)
        await purse.sweep()
        assert await purse.commit("r2", 250) == UnknownReservation()
        await assert_right(purse)

    async def test_late_steps_are_charged_once_too(self, clock: StoreClock, purse: Purse) -> None:
        await purse.reserve("r1", 300)
        await purse.commit("r1", 100, step=1)
        clock.tick(TTL_MS)
        assert await purse.sweep() == 1
        assert await purse.balance() == in_credits(1000, 900, 0, 100)
        assert await purse.commit("r1", 100, step=1) == Settled(100, 900, replayed=True)
        assert await purse.commit("r1", 100, step=2) == Settled(100, 800, late=True)
        assert await purse.commit("r1", 50) == Settled(50, 750, late=True)
        assert await purse.balance() == in_credits(1000, 750, 0, 250)

    @staticmethod
    async def overdue(clock: StoreClock, purse: Purse, amount: int) -> None:
        await purse.reserve("r1", amount)
        clock.tick(TTL_MS)
        assert await purse.sweep() == 1


class TestDeadMarks:
    async def test_a_release_that_came_first_is_known_for_a_minute(self, clock: StoreClock, purse: Purse) -> None:
        await purse.release("r1")
        await assert_due_in_time(purse)
        clock.tick(DEAD_MS - 1)
        await purse.sweep()
        assert await purse.reserve("r1", HELD) == Ended()
        clock.tick(1)
        await purse.sweep()
        assert isinstance(await purse.reserve("r1", HELD), Reserved)
        await assert_right(purse)

    async def test_a_payer_of_whom_nothing_is_due_leaves_the_index(self, clock: StoreClock, purse: Purse) -> None:
        await purse.reserve("r1", 10)
        await purse.release("r2")
        assert await self.indexed(purse) is not None
        await purse.commit("r1", 10)
        clock.tick(TTL_MS)
        await purse.sweep()
        assert await self.indexed(purse) is None
        await assert_right(purse)

    @staticmethod
    async def indexed(purse: Purse) -> bytes | None:
        score: bytes | None = await purse.lane.execute(
            "ZSCORE", purse.keys.of(purse.customer_id).due, purse.customer_id
        )
        return score


class TestRememberedEnds:
    """Of reservations through the API: repeated, a settlement is answered as the first."""

    async def test_a_repeated_commit_is_answered_as_the_first(self, purse: Purse) -> None:
        await purse.reserve("r1", 300, remember=True)
        assert await purse.commit("r1", 120) == Settled(120, 880)
        before = await purse.lines()
        assert await purse.commit("r1", 120) == Settled(120, 880, replayed=True)
        assert await purse.lines() == before
        await assert_right(purse)

    async def test_what_was_let_go_is_not_charged_the_second_time_either(self, purse: Purse) -> None:
        await purse.reserve("r1", 1000, remember=True)
        assert await purse.commit("r1", 1200, overrun=Overrun.CAP) == Settled(1000, 0, uncollected=200)
        replayed = await purse.commit("r1", 1200, overrun=Overrun.CAP)
        assert isinstance(replayed, Settled)
        assert (replayed.charged, replayed.replayed) == (1000, True)

    @pytest.mark.parametrize("cost", [119, 121, 0])
    async def test_a_commit_of_another_cost_is_not_a_repetition(self, purse: Purse, cost: int) -> None:
        await purse.reserve("r1", 300, remember=True)
        await purse.commit("r1", 120)
        assert await purse.commit("r1", cost) == Resolved(HoldState.COMMITTED)
        assert await purse.balance() == in_credits(1000, 880, 0, 120)

    async def test_a_repeated_release_is_answered_as_the_first(self, purse: Purse) -> None:
        await purse.reserve("r1", 300, remember=True)
        assert await purse.release("r1") == Settled(0, 1000)
        assert await purse.release("r1") == Settled(0, 1000, replayed=True)
        await assert_right(purse)

    async def test_the_other_end_is_not_a_repetition(self, clock: StoreClock, purse: Purse) -> None:
        for name in ("r1", "r2", "r3"):
            await purse.reserve(name, 100, remember=True)
        await purse.commit("r1", 100)
        await purse.release("r2")
        clock.tick(TTL_MS)
        await purse.sweep()
        await purse.commit("r3", 100)
        assert await purse.release("r1") == Resolved(HoldState.COMMITTED)
        assert await purse.commit("r2", 100) == Resolved(HoldState.RELEASED)
        assert await purse.release("r3") == Resolved(HoldState.COMMITTED_LATE)
        replayed = await purse.commit("r3", 100)
        assert isinstance(replayed, Settled)
        assert (replayed.charged, replayed.replayed) == (100, True)
        for name in ("r1", "r2", "r3"):
            assert await purse.reserve(name, 100, remember=True) == Ended()
            assert isinstance(await purse.resize(name, 100), Resolved)
            assert isinstance(await purse.commit(name, 100, step=1), Resolved)
        assert await purse.holds() == []
        await assert_right(purse)

    async def test_in_several_units(self, purse: Purse) -> None:
        await purse.grant(50, "tokens", unit=TOKENS)
        await purse.reserve("r1", 300, tokens=20, remember=True)
        await purse.commit("r1", 120, 7)
        replayed = await purse.commit("r1", 120, 7)
        assert replayed == Settled(120, 880, replayed=True, others=(Settled(7, 43, replayed=True),))
        assert await purse.commit("r1", 120, 8) == Resolved(HoldState.COMMITTED)
        await purse.reserve("r2", 1, tokens=1, remember=True)
        await purse.release("r2")
        assert await purse.release("r2") == Settled(0, 880, replayed=True, others=(Settled(0, 43, replayed=True),))

    async def test_for_a_day(self, clock: StoreClock, purse: Purse) -> None:
        await purse.reserve("r1", 300, remember=True)
        await purse.commit("r1", 120)
        await assert_due_in_time(purse)
        clock.tick(REMEMBERED_MS - 1)
        await purse.sweep()
        assert await purse.commit("r1", 120) == Settled(120, 880, replayed=True)
        clock.tick(1)
        await purse.sweep()
        assert await purse.commit("r1", 120) == UnknownReservation()
        await assert_right(purse)

    async def test_what_is_held_of_a_step_shows_in_a_repeated_reserve(self, purse: Purse) -> None:
        await purse.reserve("r1", 300, remember=True)
        await purse.commit("r1", 100, step=1)
        again = await purse.reserve("r1", 300, remember=True)
        assert isinstance(again, Reserved)
        assert (again.replayed, again.drawn, again.available) == (True, (Slice(1, 200),), 700)
