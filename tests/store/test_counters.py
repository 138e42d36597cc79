"""What the scripts of holds count: together with the money or not at all, once, in whatever order holds end."""

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Advance, Counted, Counter, Stand
from sidecar.domain.outcomes import (
    CountersMoved,
    Ended,
    RefusalCode,
    Refused,
    Rejected,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from sidecar.store.counters import Counters
from sidecar.store.hold_record import HoldRecord
from sidecar.store.lane import Lane
from sidecar.store.ledger import PaidBy
from tests.support.books import ENVIRONMENT, NOW_MS, SOURCE, TENANT, TTL_MS, UNIT, USAGE, Purse, open_member
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

DAY_MS = 86_400_000
PAGES = Counter("ocr/pages@2023-11", NOW_MS + 30 * DAY_MS)
CALLS = Counter("api_calls@ever", MAX_AMOUNT)

Claim = Reserved | Refused | Ended | PaidBy | CountersMoved
Count = Settled | UnknownReservation | Resolved | Rejected | CountersMoved


def claiming(purse: Purse, reservation_id: str, amount: int, *claims: Advance, remember: bool = False) -> HoldRecord:
    record = purse.ledger.hold(
        purse.customer_id, reservation_id, ((UNIT, amount),), TTL_MS, "", "ocr", claims=claims, remember=remember
    )
    purse.records[reservation_id] = record
    return record


async def claim(purse: Purse, reservation_id: str, amount: int, *claims: Advance, remember: bool = False) -> Claim:
    record = claiming(purse, reservation_id, amount, *claims, remember=remember)
    return await purse.ledger.reserve_and_claim(record, purse.credential)


async def count(purse: Purse, reservation_id: str, cost: int, *advances: Advance) -> Count:
    return await purse.ledger.commit_and_count(purse.records[reservation_id], cost, USAGE, SOURCE, advances)


async def stands(purse: Purse) -> dict[Counter, Stand]:
    found = await Counters(purse.lane, tenant=TENANT, environment=ENVIRONMENT).of(purse.payer_id)
    return {each.counter: each.stand for each in found}


async def test_a_hold_claims_and_its_commit_counts(purse: Purse) -> None:
    reserved = await claim(purse, "r1", 300, Advance(PAGES, 12), Advance(CALLS, 1))
    assert isinstance(reserved, Reserved)
    assert (reserved.available, reserved.stands) == (700, (Stand(0, 12), Stand(0, 1)))
    settled = await count(purse, "r1", 120, Advance(CALLS, 1), Advance(PAGES, 7))
    assert isinstance(settled, Settled)
    assert (settled.charged, settled.available, settled.stands) == (120, 880, (Stand(7), Stand(1)))
    assert await stands(purse) == {PAGES: Stand(7), CALLS: Stand(1)}
    (*_, line) = await purse.lines()
    assert line.counted == (Counted(PAGES.key, 7, 7), Counted(CALLS.key, 1, 1))
    await assert_right(purse)


async def test_a_counter_that_is_not_named_counts_nothing(purse: Purse) -> None:
    await claim(purse, "r1", 300, Advance(PAGES, 12), Advance(CALLS, 1))
    await count(purse, "r1", 120, Advance(CALLS, 1))
    assert await stands(purse) == {PAGES: Stand(), CALLS: Stand(1)}


class TestRanges:
    """An amount is taken only where it is right."""

    @pytest.fixture
    async def used(self, purse: Purse) -> Purse:
        """At 100, and 20 more are held."""
        await claim(purse, "r0", 0, Advance(PAGES, 100))
        await count(purse, "r0", 0, Advance(PAGES, 100))
        await claim(purse, "held", 20, Advance(PAGES, 20))
        return purse

    @pytest.mark.parametrize(("low", "high"), [(100, 120), (0, MAX_AMOUNT), (100, MAX_AMOUNT), (0, 120)])
    async def test_a_claim_fits(self, used: Purse, low: int, high: int) -> None:
        assert isinstance(await claim(used, "r1", 10, Advance(PAGES, 5, low, high)), Reserved)
        assert await stands(used) == {PAGES: Stand(100, 25)}

    @pytest.mark.parametrize(("low", "high"), [(101, MAX_AMOUNT), (0, 119), (0, 99)])
    async def test_a_claim_for_somewhere_else_changes_nothing(self, used: Purse, low: int, high: int) -> None:
        before = await used.balance()
        assert await claim(used, "r1", 10, Advance(PAGES, 5, low, high)) == CountersMoved((Stand(100, 20),))
        assert await stands(used) == {PAGES: Stand(100, 20)}
        assert await used.balance() == before
        assert [hold.reservation_id for hold in await used.holds()] == ["held"]

    @pytest.mark.parametrize(("low", "high"), [(100, 100), (0, MAX_AMOUNT)])
    async def test_a_count_fits_whatever_is_held(self, used: Purse, low: int, high: int) -> None:
        assert isinstance(await count(used, "held", 10, Advance(PAGES, 5, low, high)), Settled)
        assert await stands(used) == {PAGES: Stand(105)}

    @pytest.mark.parametrize(("low", "high"), [(101, MAX_AMOUNT), (0, 99)])
    async def test_a_count_for_somewhere_else_changes_nothing(self, used: Purse, low: int, high: int) -> None:
        lines = await used.lines()
        assert await count(used, "held", 10, Advance(PAGES, 5, low, high)) == CountersMoved((Stand(100, 20),))
        assert await stands(used) == {PAGES: Stand(100, 20)}
        assert await used.lines() == lines
        assert (await used.balance()).held == 20

    async def test_one_of_two_counters_is_enough_to_refuse(self, used: Purse) -> None:
        moved = await claim(used, "r1", 10, Advance(CALLS, 1, 0, 0), Advance(PAGES, 1, 0, 0))
        assert moved == CountersMoved((Stand(), Stand(100, 20)))
        assert CALLS not in await stands(used)


class TestRefusals:
    async def test_what_does_not_fit_says_where_the_counters_stand(self, purse: Purse) -> None:
        await claim(purse, "r1", 800, Advance(PAGES, 8))
        refused = await claim(purse, "r2", 300, Advance(PAGES, 3))
        assert refused == CountersMoved((Stand(0, 8),), Refused(RefusalCode.HOLDS_IN_FLIGHT, 300, 200, 800, UNIT))
        assert await stands(purse) == {PAGES: Stand(0, 8)}

    async def test_a_pools_cap(self, purse: Purse) -> None:
        member = await open_member(purse, cap=100)
        assert isinstance(await claim(member, "r1", 1, Advance(PAGES)), PaidBy)
        refused = await claim(member, "r1", 101, Advance(PAGES, 1))
        assert isinstance(refused, CountersMoved)
        assert refused.refused == Refused(RefusalCode.POOL_CAP_REACHED, 101, 100, 0, UNIT)

    async def test_a_stranger_is_told_nothing(self, purse: Purse) -> None:
        record = claiming(purse, "r1", 1, Advance(PAGES, 1, 5, 5))
        refused = await purse.ledger.reserve_and_claim(record, "external:somebody else")
        assert refused == Refused(RefusalCode.UNIDENTIFIED, 1, unit=UNIT)

    async def test_a_member_counts_with_its_payer(self, purse: Purse) -> None:
        member = await open_member(purse)
        assert isinstance(await claim(member, "r1", 10, Advance(PAGES, 2)), PaidBy)
        assert isinstance(await claim(member, "r1", 10, Advance(PAGES, 2)), Reserved)
        await count(member, "r1", 10, Advance(PAGES, 2))
        assert await stands(purse) == {PAGES: Stand(2)}


class TestRepetition:
    async def test_a_repeated_claim(self, purse: Purse) -> None:
        await claim(purse, "r1", 300, Advance(PAGES, 12, 0, 0))
        again = await claim(purse, "r1", 300, Advance(PAGES, 12, 0, 0))
        assert isinstance(again, Reserved)
        assert (again.replayed, again.stands) == (True, (Stand(0, 12),))
        assert await stands(purse) == {PAGES: Stand(0, 12)}

    async def test_a_repeated_commit_counts_once(self, purse: Purse) -> None:
        await claim(purse, "r1", 300, Advance(PAGES, 12))
        await count(purse, "r1", 120, Advance(PAGES, 7, 0, 0))
        assert await count(purse, "r1", 120, Advance(PAGES, 7, 0, 0)) == UnknownReservation()
        assert await stands(purse) == {PAGES: Stand(7)}

    async def test_one_that_is_remembered_is_answered_as_the_first(self, purse: Purse) -> None:
        await claim(purse, "r1", 300, Advance(PAGES, 12), remember=True)
        await count(purse, "r1", 120, Advance(PAGES, 7, 0, 0))
        again = await count(purse, "r1", 120, Advance(PAGES, 7, 0, 0))
        assert again == Settled(120, 880, replayed=True, stands=(Stand(7),))
        assert await stands(purse) == {PAGES: Stand(7)}


class TestEnds:
    async def test_a_release_counts_nothing(self, purse: Purse) -> None:
        await claim(purse, "r1", 300, Advance(PAGES, 12))
        await purse.release("r1")
        await purse.release("r1")
        assert await stands(purse) == {PAGES: Stand()}
        await assert_right(purse)

    async def test_an_expiry_gives_back_and_a_late_commit_counts(self, clock: StoreClock, purse: Purse) -> None:
        await claim(purse, "r1", 300, Advance(PAGES, 12))
        await claim(purse, "r2", 300, Advance(PAGES, 5))
        await purse.release("r2")
        clock.tick(TTL_MS)
        assert await purse.sweep() == 1
        assert await stands(purse) == {PAGES: Stand()}
        settled = await count(purse, "r1", 120, Advance(PAGES, 7, 0, 0))
        assert isinstance(settled, Settled)
        assert settled.late
        assert await stands(purse) == {PAGES: Stand(7)}
        (*_, line) = await purse.lines()
        assert line.counted == (Counted(PAGES.key, 7, 7),)

    async def test_a_resize_leaves_the_claims_as_they_are(self, purse: Purse) -> None:
        await claim(purse, "r1", 300, Advance(PAGES, 12))
        await purse.resize("r1", 500)
        assert await stands(purse) == {PAGES: Stand(0, 12)}
        await count(purse, "r1", 400, Advance(PAGES, 20))
        assert await stands(purse) == {PAGES: Stand(20)}
        assert (await purse.balance()).held == 0

    async def test_a_step_counts_nothing_and_the_final_commit_all(self, purse: Purse) -> None:
        await claim(purse, "r1", 300, Advance(PAGES, 12))
        await purse.commit("r1", 100, step=1)
        assert await stands(purse) == {PAGES: Stand(0, 12)}
        await count(purse, "r1", 50, Advance(PAGES, 12))
        assert await stands(purse) == {PAGES: Stand(12)}


class TestForgetting:
    async def test_old_periods_are_forgotten_by_the_sweep(self, clock: StoreClock, purse: Purse) -> None:
        for number, counter in enumerate((PAGES, CALLS)):
            await claim(purse, f"r{number}", 1, Advance(counter, 1))
            await count(purse, f"r{number}", 1, Advance(counter, 1))
        clock.tick(30 * DAY_MS - 1)
        await purse.sweep()
        assert await stands(purse) == {PAGES: Stand(1), CALLS: Stand(1)}
        clock.tick(1)
        await purse.sweep()
        assert await stands(purse) == {CALLS: Stand(1)}
        await assert_right(purse)

    async def test_not_while_something_may_be_counted(self, clock: StoreClock, purse: Purse) -> None:
        clock.tick(30 * DAY_MS - 1000)
        await claim(purse, "r1", 1, Advance(PAGES, 1))
        clock.tick(1000)
        await purse.sweep()
        assert await stands(purse) == {PAGES: Stand(0, 1)}
        clock.tick(TTL_MS)
        await purse.sweep()
        assert await stands(purse) == {}

    async def test_the_end_of_a_hold_of_a_forgotten_counter(self, purse: Purse, lane: Lane) -> None:
        await claim(purse, "r1", 1, Advance(PAGES, 1))
        await lane.execute("HDEL", purse.keys.of(purse.payer_id).customer, "counters", f"counter:{PAGES.key}")
        await purse.release("r1")
        assert await stands(purse) == {}
