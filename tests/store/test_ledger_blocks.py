"""Holds over several blocks and units: which they draw from, what steps and policies charge, what is held longer."""

import pytest

from sidecar.domain.blocks import BlockState, Slice
from sidecar.domain.journal import Kind
from sidecar.domain.outcomes import (
    HoldState,
    Overrun,
    RefusalCode,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from sidecar.store.lane import Lane
from tests.support.books import NOW_MS, TOKENS, TTL_MS, UNIT, Purse, in_credits, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

HOUR_MS = 3_600_000


def slices(*pairs: tuple[int, int]) -> tuple[Slice, ...]:
    return tuple(Slice(block, amount) for block, amount in pairs)


@pytest.fixture
async def empty(clock: StoreClock, lane: Lane) -> Purse:
    """A customer without credit, at `NOW_MS`."""
    return await open_purse(lane)


class TestBlocks:
    async def test_a_hold_takes_what_it_needs_in_burn_order(self, empty: Purse) -> None:
        await empty.grant(100, "last", priority=1)
        await empty.grant(100, "never")
        await empty.grant(100, "soon", expires_at_ms=NOW_MS + HOUR_MS)
        await empty.grant(100, "first", priority=-1)
        reserved = await empty.reserve("r1", 350)
        assert reserved == Reserved(350, 50, drawn=slices((4, 100), (3, 100), (2, 100), (1, 50)))
        await assert_right(empty)
        assert await empty.commit("r1", 210) == Settled(210, 190)
        assert [(block.number, block.available, block.spent) for block in await empty.blocks()] == [
            (2, 90, 10), (1, 100, 0),
        ]  # fmt: skip
        await assert_right(empty)

    async def test_many_blocks(self, empty: Purse) -> None:
        """More than a script reads at first, and one of them in the middle is held from."""
        for number in range(12):
            await empty.grant(10, f"b{number}", priority=number)
        assert await empty.reserve("r1", 75) == Reserved(
            75, 45, drawn=slices(*((number, 10) for number in range(1, 8)), (8, 5))
        )
        assert await empty.reserve("r2", 10) == Reserved(10, 35, drawn=slices((8, 5), (9, 5)))
        await assert_right(empty)
        assert await empty.commit("r2", 7) == Settled(7, 38)
        assert await empty.release("r1") == Settled(0, 113)
        await assert_right(empty)

    async def test_a_charge_above_the_hold_goes_on_in_burn_order(self, empty: Purse) -> None:
        await empty.grant(100, "first", priority=-1)
        await empty.grant(100, "second")
        await empty.reserve("r1", 30)
        await empty.reserve("r2", 60)
        assert await empty.commit("r1", 120) == Settled(120, 20)
        assert [(block.available, block.held, block.spent) for block in await empty.blocks()] == [
            (0, 60, 40), (20, 0, 80),
        ]  # fmt: skip
        await assert_right(empty)

    async def test_a_block_that_lapses_keeps_what_is_held_of_it_until_it_comes_back(
        self, clock: StoreClock, empty: Purse
    ) -> None:
        await empty.grant(100, "soon", expires_at_ms=NOW_MS + 1000)
        await empty.reserve("r1", 60)
        clock.tick(1000)
        assert await empty.balance() == in_credits(100, 0, 60, 0, expired=40)
        assert [block.state for block in await empty.blocks()] == [BlockState.EXPIRED]
        assert await empty.commit("r1", 25) == Settled(25, 0)
        assert await empty.balance() == in_credits(100, 0, 0, 25, expired=75)
        assert await empty.blocks() == ()
        await assert_right(empty)

    async def test_it_lapses_at_the_instant_and_not_before(self, clock: StoreClock, empty: Purse) -> None:
        await empty.grant(100, "soon", expires_at_ms=NOW_MS + 1000)
        clock.tick(999)
        assert isinstance(await empty.reserve("r1", 40), Reserved)
        clock.tick(1)
        refused = await empty.reserve("r2", 1)
        # What comes back of a block that is over lapses: nobody need wait for it.
        assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, 1, unit=UNIT)
        await assert_right(empty)

    async def test_a_used_up_block_leaves_and_the_next_one_starts(self, empty: Purse) -> None:
        await empty.grant(100, "first")
        await empty.grant(100, "next", starts_after_block_id="blk_first", duration_ms=HOUR_MS)
        assert await empty.balance() == in_credits(200, 100, 0, 0, scheduled=100)
        await empty.reserve("r1", 100)
        assert await empty.commit("r1", 100) == Settled(100, 100)
        (block,) = await empty.blocks()
        assert (block.number, block.state, block.starts_at_ms, block.expires_at_ms) == (
            2, BlockState.ACTIVE, NOW_MS, NOW_MS + HOUR_MS,
        )  # fmt: skip
        await assert_right(empty)


class TestScopes:
    @pytest.fixture
    async def scoped(self, empty: Purse) -> Purse:
        """100 for chats, 100 for a rule, 100 for anything, in this order."""
        await empty.grant(100, "chats", priority=1, eligible_features=("chat", "speech"))
        await empty.grant(100, "rule", priority=2, eligible_rules=("a-rule",))
        await empty.grant(100, "any", priority=3)
        return empty

    @pytest.mark.parametrize(
        ("terms", "drawn"),
        [
            ({"feature": "chat"}, slices((1, 100), (2, 20))),
            ({"feature": "speech", "rule": "other"}, slices((1, 100), (3, 20))),
            ({"feature": "image"}, slices((2, 100), (3, 20))),
            ({}, slices((2, 100), (3, 20))),
        ],
    )
    async def test_a_hold_draws_from_what_it_is_eligible_for(
        self, scoped: Purse, terms: dict[str, str], drawn: tuple[Slice, ...]
    ) -> None:
        assert await scoped.reserve("r1", 120, **terms) == Reserved(120, 180, drawn=drawn)
        await assert_right(scoped)

    async def test_what_others_may_spend_does_not_help(self, scoped: Purse) -> None:
        await scoped.reserve("r0", 70, rule="other")
        refused = await scoped.reserve("r1", 40, rule="other")
        assert refused == Refused(RefusalCode.HOLDS_IN_FLIGHT, 40, available=30, held=70, unit=UNIT)
        refused = await scoped.reserve("r1", 120, rule="other")
        assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, 120, available=30, held=70, unit=UNIT)

    async def test_a_charge_above_the_hold_keeps_to_them(self, scoped: Purse) -> None:
        await scoped.reserve("r1", 50, rule="other")
        assert await scoped.commit("r1", 130) == Settled(130, 200, owed=30)
        await assert_right(scoped)

    async def test_units_do_not_share_them(self, scoped: Purse) -> None:
        await scoped.grant(100, "tokens", unit=TOKENS, eligible_features=("image",))
        assert isinstance(await scoped.reserve("r1", 1, unit=TOKENS, feature="chat"), Refused)
        assert isinstance(await scoped.reserve("r2", 1, unit=TOKENS, feature="image"), Reserved)


class TestUnits:
    @pytest.fixture
    async def both(self, empty: Purse) -> Purse:
        """100 credits and 50 tokens."""
        await empty.grant(100, "credits")
        await empty.grant(50, "tokens", unit=TOKENS)
        return empty

    async def test_all_parts_are_held_and_settled_together(self, both: Purse) -> None:
        reserved = await both.reserve("r1", 30, tokens=20)
        assert reserved == Reserved(30, 70, drawn=slices((1, 30)), others=(Reserved(20, 30, drawn=slices((1, 20))),))
        settled = await both.commit("r1", 10, 25)
        assert settled == Settled(10, 90, others=(Settled(25, 25),))
        await assert_right(both)
        commits = [line for line in await both.lines() if line.kind is Kind.COMMIT]
        assert [(line.unit, line.charged, line.hold and line.hold.held) for line in commits] == [
            (UNIT, 10, 30), (TOKENS, 25, 20),
        ]  # fmt: skip

    async def test_one_part_that_does_not_fit_refuses_all(self, both: Purse) -> None:
        refused = await both.reserve("r1", 30, tokens=51)
        assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, 51, available=50, unit=TOKENS)
        assert (await both.balance()).held == 0
        assert await both.holds() == []
        await assert_right(both)

    async def test_a_release_and_an_expiry_give_all_parts_back(self, clock: StoreClock, both: Purse) -> None:
        await both.reserve("r1", 30, tokens=20)
        assert await both.release("r1") == Settled(0, 100, others=(Settled(0, 50),))
        await both.reserve("r2", 30, tokens=20)
        clock.tick(TTL_MS)
        assert await both.sweep() == 1
        assert [each.available for each in await both.accounts.balances(both.customer_id)] == [100, 50]
        await assert_right(both)
        assert await both.commit("r2", 1, 2) == Settled(1, 99, late=True, others=(Settled(2, 48, late=True),))
        await assert_right(both)

    async def test_a_rejected_part_leaves_all_as_it_was(self, both: Purse) -> None:
        await both.reserve("r1", 30, tokens=20)
        assert await both.commit("r1", 30, 21, overrun=Overrun.REJECT) == Rejected(20, TOKENS)
        assert await both.commit("r1", 30, 20, overrun=Overrun.REJECT) == Settled(30, 70, others=(Settled(20, 30),))

    async def test_an_open_hold_shows_them_all(self, both: Purse) -> None:
        await both.reserve("r1", 30, tokens=20, feature="chat")
        (hold,) = await both.holds()
        assert (hold.unit, hold.held, hold.drawn, hold.feature) == (UNIT, 30, slices((1, 30)), "chat")
        assert [(each.unit, each.held, each.drawn) for each in hold.others] == [(TOKENS, 20, slices((1, 20)))]


class TestPolicies:
    @pytest.mark.parametrize(
        ("overrun", "settled", "owed"),
        [
            (Overrun.OWE, Settled(130, 0, owed=30), 30),
            (Overrun.CAP, Settled(100, 0, uncollected=30), 0),
            (Overrun.REJECT, Rejected(40, UNIT), 0),
        ],
    )
    async def test_what_becomes_of_a_cost_above_all_there_is(
        self, empty: Purse, overrun: Overrun, settled: Settled | Rejected, owed: int
    ) -> None:
        await empty.grant(100)
        await empty.reserve("r1", 40)
        assert await empty.commit("r1", 130, overrun=overrun) == settled
        assert (await empty.balance()).owed == owed
        await assert_right(empty)
        if isinstance(settled, Settled):
            line = (await empty.lines())[-1]
            assert (line.charged, line.uncollected) == (settled.charged, settled.uncollected)

    async def test_a_rejected_commit_can_be_made_smaller(self, empty: Purse) -> None:
        await empty.grant(100)
        await empty.reserve("r1", 40)
        for _ in range(2):
            assert await empty.commit("r1", 41, overrun=Overrun.REJECT) == Rejected(40, UNIT)
        assert await empty.commit("r1", 40, overrun=Overrun.REJECT) == Settled(40, 60)
        await assert_right(empty)


class TestSteps:
    async def test_each_step_is_charged_once(self, empty: Purse) -> None:
        await empty.grant(100)
        await empty.reserve("r1", 50)
        assert await empty.commit("r1", 20, step=1) == Settled(20, 50)
        assert await empty.commit("r1", 20, step=1) == Settled(20, 50, replayed=True)
        assert await empty.commit("r1", 15, step=2) == Settled(15, 50)
        assert await empty.commit("r1", 99, step=1) == Settled(35, 50, replayed=True)
        await assert_right(empty)
        ((hold,),) = (await empty.holds(),)
        assert (hold.held, hold.charged) == (15, 35)
        assert await empty.commit("r1", 5) == Settled(5, 60)
        assert await empty.balance() == in_credits(100, 60, 0, 40)
        assert [line.kind for line in await empty.lines()] == [
            Kind.GRANT, Kind.STEP_COMMIT, Kind.STEP_COMMIT, Kind.COMMIT,
        ]  # fmt: skip
        await assert_right(empty)

    async def test_a_step_above_what_is_held_takes_what_is_available(self, empty: Purse) -> None:
        await empty.grant(100)
        await empty.reserve("r1", 30)
        assert await empty.commit("r1", 70, step=1) == Settled(70, 30)
        assert (await empty.holds())[0].held == 0
        assert await empty.commit("r1", 40, step=2) == Settled(40, 0, owed=10)
        assert await empty.release("r1") == Settled(0, 0)
        assert await empty.balance() == in_credits(100, 0, 0, 100, 10)
        await assert_right(empty)

    async def test_a_step_in_several_units(self, empty: Purse) -> None:
        await empty.grant(100)
        await empty.grant(100, "tokens", unit=TOKENS)
        await empty.reserve("r1", 50, tokens=50)
        assert await empty.commit("r1", 10, 20, step=1) == Settled(10, 50, others=(Settled(20, 50),))
        replayed = await empty.commit("r1", 10, 20, step=1)
        assert replayed == Settled(10, 50, replayed=True, others=(Settled(0, 50, replayed=True),))
        assert await empty.commit("r1", 0, 0) == Settled(0, 90, others=(Settled(0, 80),))
        await assert_right(empty)

    async def test_a_step_over_several_blocks(self, empty: Purse) -> None:
        for number in range(3):
            await empty.grant(10, f"b{number}")
        await empty.reserve("r1", 25)
        await empty.commit("r1", 13, step=1)
        assert (await empty.holds())[0].drawn == slices((2, 7), (3, 5))
        assert [(block.number, block.held, block.spent) for block in await empty.blocks()] == [(2, 7, 3), (3, 5, 0)]
        await assert_right(empty)
        assert await empty.commit("r1", 13) == Settled(13, 4)
        await assert_right(empty)


class TestResize:
    async def test_it_holds_more_and_longer(self, clock: StoreClock, empty: Purse) -> None:
        await empty.grant(50, "first", priority=-1)
        await empty.grant(50, "second")
        await empty.reserve("r1", 40)
        clock.tick(TTL_MS - 1)
        resized = await empty.resize("r1", 70, ttl_ms=2 * TTL_MS)
        assert resized == Reserved(70, 30, drawn=slices((1, 40), (1, 10), (2, 20)))
        clock.tick(2 * TTL_MS - 1)
        assert await empty.sweep() == 0
        await assert_right(empty)
        clock.tick(1)
        assert await empty.sweep() == 1
        assert await empty.balance() == in_credits(100, 100, 0, 0)
        await assert_right(empty)

    async def test_it_is_safe_to_repeat_and_gives_nothing_back(self, empty: Purse) -> None:
        await empty.grant(100)
        await empty.reserve("r1", 40)
        for wanted in (70, 70, 10):
            resized = await empty.resize("r1", wanted)
            assert isinstance(resized, Reserved)
            assert (resized.held, resized.available) == (70, 30)
        await assert_right(empty)

    async def test_it_makes_good_for_what_steps_have_charged(self, empty: Purse) -> None:
        await empty.grant(100)
        await empty.reserve("r1", 40)
        await empty.commit("r1", 30, step=1)
        resized = await empty.resize("r1", 40)
        assert isinstance(resized, Reserved)
        assert (resized.held, resized.available) == (40, 30)
        assert await empty.commit("r1", 35) == Settled(35, 35)
        await assert_right(empty)

    async def test_it_is_refused_like_a_reserve_and_changes_nothing_then(self, empty: Purse) -> None:
        await empty.grant(100)
        await empty.grant(20, "tokens", unit=TOKENS)
        await empty.reserve("r1", 40, tokens=10)
        await empty.reserve("r2", 30)
        refused = await empty.resize("r1", 71, 20)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.available, refused.held) == (RefusalCode.HOLDS_IN_FLIGHT, 30, 70)
        refused = await empty.resize("r1", 70, 21)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.unit) == (RefusalCode.HOLDS_IN_FLIGHT, TOKENS)
        refused = await empty.resize("r1", 40, 100)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.required) == (RefusalCode.INSUFFICIENT_CREDITS, 90)
        assert [each.held for each in await empty.accounts.balances(empty.customer_id)] == [70, 10]
        await assert_right(empty)

    async def test_what_has_ended_cannot_be_resized(self, clock: StoreClock, empty: Purse) -> None:
        await empty.grant(100)
        assert await empty.resize("r0", 1) == UnknownReservation()
        await empty.release("r0")
        assert await empty.resize("r0", 1) == UnknownReservation()
        await empty.reserve("r1", 40, ttl_ms=1000)
        clock.tick(1000)
        await empty.sweep()
        assert await empty.resize("r1", 50) == Resolved(HoldState.EXPIRED)
        await assert_right(empty)

    async def test_an_overdue_hold_that_no_sweep_has_found_can_be_saved(
        self, clock: StoreClock, empty: Purse
    ) -> None:
        await empty.grant(100)
        await empty.reserve("r1", 40, ttl_ms=1000)
        clock.tick(5000)
        assert isinstance(await empty.resize("r1", 40, ttl_ms=1000), Reserved)
        assert await empty.sweep() == 0
        assert (await empty.balance()).held == 40
