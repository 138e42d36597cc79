"""`lease`: only what is held in advance is spent without the store, and it comes back when it is not needed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.domain.errors import StoreError
from sidecar.domain.outcomes import Refused
from sidecar.services.credit_leases import RULE
from sidecar.services.hold import Hold
from sidecar.store.lane import Lane
from tests.services.bridge import LEASE, TIMEOUT_S, Process, away, back, books
from tests.support.books import UNIT, Purse, open_lane, open_purse
from tests.support.store import StoreServer
from tests.support.until import until, until_async


@pytest.fixture
async def lane(durable: StoreServer) -> AsyncIterator[Lane]:
    async with open_lane(durable.url, TIMEOUT_S) as lane:
        yield lane


@pytest.fixture
async def purse(lane: Lane) -> Purse:
    return await open_purse(lane, granted=1000)


@pytest.fixture
async def leasing(lane: Lane, purse: Purse, tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(lane, purse, tmp_path, LEASE)
    yield process
    await process.end()


class TestLease:
    async def lease(self, process: Process, amount: int = 100) -> None:
        """A customer that spends gets a lease."""
        hold = await process.take(amount)
        assert isinstance(hold, Hold)
        await process.holds.release(hold, "to be known")
        await process.leases.look_after()
        assert process.leases.open == 1

    async def test_it_is_held_like_anything_else(self, leasing: Process, purse: Purse) -> None:
        await self.lease(leasing)
        assert leasing.leases.held == {UNIT: 450}
        assert await books(purse) == (550, 450, 0, 0)

    async def test_only_it_is_spent_and_charges_arrive_once(
        self, leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
    ) -> None:
        await self.lease(leasing)
        await away(durable, lane)
        await leasing.pay(100)
        await leasing.pay(60)
        await leasing.bridged(200)
        held = await leasing.bridged(90)
        with pytest.raises(StoreError):
            await leasing.take(1)
        await leasing.holds.commit(held, 20, "units=1", "reported")
        durable.start()
        await until(lambda: leasing.holds.settling.pending == 0, "the charges")
        assert await books(purse) == (550, 270, 180, 0)
        assert {line.usage for line in await purse.lines() if line.charged} == {"units=1 paid_by=lease"}
        assert {line.hold.rule for line in await purse.lines() if line.charged and line.hold} == {"a-rule"}

    async def test_what_costs_more_than_it_has_makes_no_debt(
        self, leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
    ) -> None:
        await self.lease(leasing)
        await away(durable, lane)
        await leasing.pay(5000)
        await back(durable, lane, leasing)
        assert await books(purse) == (0, 0, 1000, 0)
        assert leasing.purse.ledger.overspent == {}

    async def test_others_cannot_spend_it(
        self, leasing: Process, durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
    ) -> None:
        """Together they cannot serve more than there is, wherever it is spent."""
        other = Process(lane, purse, tmp_path, LEASE)
        await self.lease(leasing)
        await self.lease(other)
        taken = leasing.leases.held[UNIT] + other.leases.held[UNIT]
        await away(durable, lane)
        spent = 0
        for process in (leasing, other):
            while True:
                try:
                    await process.pay(10, 10)
                except StoreError:
                    break
                spent += 10
        assert spent <= taken
        await back(durable, lane, leasing, other)
        available, held, charged, owed = await books(purse)
        assert (charged, owed) == (spent, 0)
        assert available + held + charged == 1000
        await other.end()

    async def test_a_customer_is_not_refused_for_its_own_lease(self, leasing: Process, purse: Purse) -> None:
        await self.lease(leasing)
        hold = await leasing.take(1000)
        assert isinstance(hold, Hold)
        assert hold.held == 1000
        assert leasing.leases.open == 0

    async def test_it_comes_back_when_it_is_not_used(self, leasing: Process, purse: Purse) -> None:
        await self.lease(leasing)
        leasing.clock.now += 61
        await leasing.leases.look_after()
        assert leasing.leases.open == 0
        assert await books(purse) == (1000, 0, 0, 0)

    async def test_it_comes_back_when_the_process_ends(self, leasing: Process, purse: Purse) -> None:
        await self.lease(leasing)
        await leasing.leases.close()
        assert await books(purse) == (1000, 0, 0, 0)

    async def test_it_lives_as_long_as_it_is_used(self, leasing: Process, purse: Purse) -> None:
        await self.lease(leasing)
        (before,) = await purse.holds()
        assert (before.rule, before.held) == (RULE, 450)
        leasing.clock.now += 210
        leasing.leases.used(purse.customer_id, purse.credential, UNIT, "", await self.hold(leasing))
        await leasing.leases.look_after()
        (after, _) = sorted(await purse.holds(), key=lambda hold: hold.rule)
        assert (after.rule, after.held) == (RULE, 450)
        assert after.expires_at_ms > before.expires_at_ms
        assert leasing.leases.take(purse.customer_id, purse.credential, UNIT, "", 10) is not None

    async def hold(self, process: Process) -> Hold:
        hold = await process.holds.take(process.purse.customer_id, process.purse.credential, UNIT, 1, "", "a-rule")
        assert isinstance(hold, Hold)
        return hold

    async def test_near_its_end_it_is_not_spent(self, leasing: Process, durable: StoreServer, lane: Lane) -> None:
        await self.lease(leasing)
        await away(durable, lane)
        leasing.clock.now += 479
        await leasing.bridged(10)
        leasing.clock.now += 2
        with pytest.raises(StoreError):
            await leasing.take(10)

    async def test_who_is_turned_away_has_none(self, leasing: Process, lane: Lane, purse: Purse) -> None:
        await self.lease(leasing)
        await lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "suspended")
        assert isinstance(await leasing.take(), Refused)
        assert leasing.leases.open == 0
        await lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "active")

        async def free() -> bool:
            return await books(purse) == (1000, 0, 0, 0)

        await until_async(free, "the lease to come back")

    async def test_one_that_the_store_gave_back_is_taken_again(
        self, leasing: Process, lane: Lane, purse: Purse
    ) -> None:
        await self.lease(leasing)
        (lease,) = leasing.leases._leases.values()
        assert lease.record is not None
        await leasing.purse.ledger.release(lease.record, "somebody was here")
        leasing.clock.now += 250
        lease.used_at = leasing.clock.now
        await leasing.leases.look_after()
        assert (leasing.leases.lost_total, leasing.leases.open) == (1, 0)
        await self.lease(leasing)

    async def test_it_grows_with_what_is_spent(self, leasing: Process, purse: Purse) -> None:
        await self.lease(leasing, 1)
        assert leasing.leases.held == {UNIT: 6}
        for _ in range(20):
            await leasing.pay(1, 1)
        await leasing.leases.look_after()
        assert leasing.leases.held[UNIT] > 100

    async def test_charges_of_a_lease_that_expired_make_no_debt(
        self, leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
    ) -> None:
        await self.lease(leasing)
        await away(durable, lane)
        await leasing.pay(100)
        (lease,) = leasing.leases._leases.values()
        record = lease.record
        durable.start()
        await until(lambda: lane.connected, "the store")
        assert record is not None
        await until(lambda: leasing.holds.settling.pending == 0, "the charge")
        await leasing.purse.ledger.release(record, "it has expired")
        await away(durable, lane)
        await leasing.pay(200)
        await back(durable, lane, leasing)
        assert await books(purse) == (700, 0, 300, 0)
