"""Members of a pool: their parent pays, within a cap for each."""

import asyncio

import pytest

from sidecar.domain.blocks import Slice
from sidecar.domain.errors import Conflict, NotFound
from sidecar.domain.outcomes import Ended, Overrun, RefusalCode, Refused, Reserved, Settled, UnknownReservation
from sidecar.store.customers import PoolShare
from sidecar.store.lane import Lane
from sidecar.store.ledger import PaidBy
from tests.support.books import NOW_MS, TOKENS, TTL_MS, UNIT, Purse, in_credits, open_member, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right


def share(cap: int | None, held: int, spent: int, unit: str = UNIT) -> PoolShare:
    return PoolShare(unit=unit, cap=cap, held=held, spent=spent)


class TestWhoPays:
    async def test_the_first_answer_names_the_parent_and_the_next_record_is_right(self, purse: Purse) -> None:
        """A process that has not met the member yet takes it for its own payer."""
        member = await open_member(purse)
        record = member.record("r1", 10)
        assert (record.payer_id, record.member) == (member.customer_id, "")
        for _ in range(2):
            assert await member.ledger.reserve(record, member.credential) == PaidBy(purse.customer_id)
        record = member.record("r1", 10)
        assert (record.payer_id, record.member) == (purse.customer_id, member.customer_id)
        assert await member.ledger.reserve(record, member.credential) == Reserved(10, 990, drawn=(Slice(1, 10),))
        assert await member.balance() == in_credits(1000, 990, 10, 0)
        await assert_right(purse)

    async def test_who_is_wrongly_taken_for_a_member_is_put_right_too(self, purse: Purse, lane: Lane) -> None:
        bob = await open_purse(lane, "bob")
        bob.ledger._payers.learn(bob.customer_id, purse.customer_id.encode())
        assert await bob.ledger.reserve(bob.record("r1", 0), bob.credential) == PaidBy(bob.customer_id)
        assert await bob.reserve("r1", 0) == Reserved(0, 0)

    async def test_a_repetition_with_the_right_record_finds_the_hold(self, purse: Purse) -> None:
        member = await open_member(purse)
        await member.reserve("r1", 10)
        elsewhere = await open_member(purse)
        again = await elsewhere.reserve("r1", 10)
        assert again == Reserved(10, 990, replayed=True, drawn=(Slice(1, 10),))

    async def test_the_member_s_own_credential_counts(self, purse: Purse) -> None:
        member = await open_member(purse)
        refused = await member.reserve("r1", 10, credential=purse.credential)
        assert refused == Refused(RefusalCode.UNIDENTIFIED, 10, unit=UNIT)

    @pytest.mark.parametrize("suspended", ["parent", "member"])
    async def test_both_must_be_active(self, purse: Purse, suspended: str) -> None:
        member = await open_member(purse)
        who = purse if suspended == "parent" else member
        await purse.lane.execute("HSET", purse.keys.of(who.customer_id).customer, "status", "suspended")
        refused = await member.reserve("r1", 10)
        assert refused == Refused(RefusalCode.CUSTOMER_SUSPENDED, 10, unit=UNIT)

    async def test_members_lie_in_their_parent_s_partition(self, purse: Purse) -> None:
        for number in range(5):
            member = await open_member(purse, f"member {number}")
            assert member.partition == purse.partition

    async def test_a_pool_has_one_level(self, purse: Purse) -> None:
        member = await open_member(purse)
        with pytest.raises(Conflict, match="a pool has one level"):
            await open_member(member, "carol")
        with pytest.raises(NotFound):
            await purse.customers.create(external_id="x", now_ms=NOW_MS, parent_id="cus_" + "0" * 26)


class TestCaps:
    async def test_what_is_held_and_spent_counts(self, purse: Purse) -> None:
        member = await open_member(purse, cap=100)
        await member.reserve("r1", 60)
        refused = await member.reserve("r2", 41)
        assert refused == Refused(RefusalCode.POOL_CAP_REACHED, 41, available=40, held=60, unit=UNIT)
        assert isinstance(await member.reserve("r3", 40), Reserved)
        assert await member.share() == share(100, 100, 0)
        await assert_right(purse)
        await member.commit("r1", 25)
        await member.release("r3")
        assert await member.share() == share(100, 0, 25)
        refused = await member.reserve("r4", 76)
        assert refused == Refused(RefusalCode.POOL_CAP_REACHED, 76, available=75, held=0, unit=UNIT)
        await assert_right(purse)

    async def test_others_are_not_bound_by_it(self, purse: Purse) -> None:
        member, other = await open_member(purse, cap=10), await open_member(purse, "carol")
        assert isinstance(await other.reserve("r1", 500), Reserved)
        assert isinstance(await purse.reserve("r2", 100), Reserved)
        assert isinstance(await member.reserve("r3", 10), Reserved)
        assert isinstance(await member.reserve("r4", 1), Refused)
        assert await other.share() == share(None, 500, 0)
        await assert_right(purse)

    async def test_the_pool_may_be_emptier_than_the_cap(self, purse: Purse) -> None:
        member = await open_member(purse, cap=5000)
        await purse.reserve("r0", 400)
        refused = await member.reserve("r1", 601)
        assert refused == Refused(RefusalCode.HOLDS_IN_FLIGHT, 601, available=600, held=400, unit=UNIT)

    async def test_a_charge_above_the_hold_may_pass_it(self, purse: Purse) -> None:
        """What was used is charged; only the next hold is refused."""
        member = await open_member(purse, cap=100)
        await member.reserve("r1", 50)
        assert await member.commit("r1", 250) == Settled(250, 750)
        assert await member.share() == share(100, 0, 250)
        refused = await member.reserve("r2", 1)
        assert refused == Refused(RefusalCode.POOL_CAP_REACHED, 1, available=0, held=0, unit=UNIT)
        assert isinstance(await purse.reserve("r3", 750), Reserved)
        await assert_right(purse)

    async def test_debt_counts_and_what_was_let_go_does_not(self, purse: Purse) -> None:
        member = await open_member(purse, cap=5000)
        await member.reserve("r1", 0)
        await member.reserve("r2", 0)
        await member.commit("r1", 1100, overrun=Overrun.CAP)
        assert await member.share() == share(5000, 0, 1000)
        await member.commit("r2", 300)
        assert await member.share() == share(5000, 0, 1300)
        await assert_right(purse)

    async def test_steps_resizes_and_ends(self, clock: StoreClock, purse: Purse) -> None:
        member = await open_member(purse, cap=100)
        await member.reserve("r1", 40)
        await member.commit("r1", 30, step=1)
        assert await member.share() == share(100, 10, 30)
        resized = await member.resize("r1", 71)
        assert resized == Refused(RefusalCode.POOL_CAP_REACHED, 61, available=60, held=10, unit=UNIT)
        assert isinstance(await member.resize("r1", 70), Reserved)
        assert await member.share() == share(100, 70, 30)
        await assert_right(purse)
        clock.tick(TTL_MS)
        assert await purse.sweep() == 1
        assert await member.share() == share(100, 0, 30)
        assert await member.commit("r1", 5) == Settled(5, 965, late=True)
        assert await member.share() == share(100, 0, 35)
        await assert_right(purse)

    async def test_units_have_caps_of_their_own(self, purse: Purse) -> None:
        await purse.grant(50, "tokens", unit=TOKENS)
        member = await open_member(purse, cap=100)
        await member.customers.set_pool_cap(member.customer_id, TOKENS, 10)
        refused = await member.reserve("r1", 50, tokens=11)
        assert refused == Refused(RefusalCode.POOL_CAP_REACHED, 11, available=10, held=0, unit=TOKENS)
        assert await member.share() == share(100, 0, 0)
        await member.reserve("r1", 50, tokens=10)
        await member.commit("r1", 20, 3)
        assert [await member.share(unit) for unit in (UNIT, TOKENS)] == [share(100, 0, 20), share(10, 0, 3, TOKENS)]
        await assert_right(purse)

    async def test_a_cap_can_be_moved_and_lifted(self, purse: Purse) -> None:
        member = await open_member(purse, cap=100)
        await member.reserve("r1", 80)
        moved = await member.customers.set_pool_cap(member.customer_id, UNIT, 50)
        assert moved == share(50, 80, 0)
        assert isinstance(await member.reserve("r2", 1), Refused)
        await member.customers.set_pool_cap(member.customer_id, UNIT, None)
        assert isinstance(await member.reserve("r2", 920), Reserved)
        assert await member.share() == share(None, 1000, 0)
        await assert_right(purse)

    async def test_who_is_in_no_pool_has_none(self, purse: Purse) -> None:
        with pytest.raises(Conflict, match="in no pool"):
            await purse.customers.set_pool_cap(purse.customer_id, UNIT, 1)
        with pytest.raises(Conflict, match="in no pool"):
            await purse.share()

    @pytest.mark.parametrize("members", [1, 3])
    async def test_members_at_once_stay_within_their_caps(self, purse: Purse, members: int) -> None:
        several = [await open_member(purse, f"member {number}", cap=50) for number in range(members)]
        wanted = [
            member.reserve(f"r{number}_{index}", 7) for number in range(30) for index, member in enumerate(several)
        ]
        outcomes = await asyncio.gather(*wanted)
        assert sum(isinstance(outcome, Reserved) for outcome in outcomes) == 7 * members
        await assert_right(purse)


async def test_open_holds_are_shown_to_both(purse: Purse) -> None:
    member, other = await open_member(purse), await open_member(purse, "carol")
    await purse.reserve("r0", 1)
    await member.reserve("r1", 2)
    await other.reserve("r2", 3)
    names = {who.external_id: [hold.reservation_id for hold in await who.holds()] for who in (purse, member, other)}
    assert names == {"alice": ["r0", "r1", "r2"], "bob": ["r1"], "carol": ["r2"]}
    hold = await member.open_holds.find(member.customer_id, "r1")
    assert (hold.customer_id, hold.payer_id) == (member.customer_id, purse.customer_id)
    assert await purse.open_holds.find(purse.customer_id, "r1") == hold
    with pytest.raises(NotFound, match="no open hold r2"):
        await member.open_holds.find(member.customer_id, "r2")


async def test_a_release_that_comes_first_kills_a_member_s_reserve(purse: Purse) -> None:
    member = await open_member(purse)
    await member.reserve("r0", 1)
    assert await member.release("r1") == UnknownReservation()
    assert await member.reserve("r1", 300) == Ended()
