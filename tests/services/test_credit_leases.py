"""`lease`: only what is held in advance is spent without the store, and nobody is refused for what is."""

import asyncio
from pathlib import Path

import pytest

from sidecar.domain import proxy_keys
from sidecar.domain.errors import StoreError
from sidecar.domain.outcomes import Refused
from sidecar.services.hold import Bridged, Hold
from sidecar.store.lane import Lane
from tests.services.bridge import LEASE, Process, away, back, books
from tests.support.books import NOW_MS, UNIT, Purse, open_member
from tests.support.store import StoreServer
from tests.support.sums import assert_right
from tests.support.until import until, until_async


@pytest.fixture
def lane(leasing: Process) -> Lane:
    return leasing.lane


@pytest.fixture
def purse(leasing: Process) -> Purse:
    return leasing.purse


async def test_it_is_held_like_anything_else(leasing: Process, purse: Purse) -> None:
    await leasing.lease()
    assert leasing.leases.held == {UNIT: 450}
    assert await books(purse) == (550, 450, 0, 0)


async def test_only_it_is_spent_and_charges_arrive_once(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
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
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
    await away(durable, lane)
    await leasing.pay(5000)
    await back(durable, lane, leasing)
    assert await books(purse) == (0, 0, 1000, 0)
    assert leasing.purse.ledger.overspent == {}


async def test_others_cannot_spend_it(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
) -> None:
    """Together they cannot serve more than there is, wherever it is spent."""
    other = Process(lane, purse, tmp_path, LEASE)
    await leasing.lease()
    await other.lease()
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


async def test_a_customer_is_not_refused_for_its_own_lease(leasing: Process, purse: Purse) -> None:
    await leasing.lease()
    hold = await leasing.take(1000)
    assert isinstance(hold, Hold)
    assert hold.held == 1000
    assert leasing.leases.open == 0


async def test_nor_is_what_it_asks_by_rules_without_leases(leasing: Process) -> None:
    await leasing.lease()
    purse = leasing.purse
    hold = await leasing.holds.take(purse.customer_id, purse.credential, UNIT, 1000, "", "another-rule")
    assert isinstance(hold, Hold)


async def test_nor_are_many_at_once(leasing: Process, purse: Purse) -> None:
    await leasing.lease()
    holds = await asyncio.gather(*(leasing.take(100) for _ in range(10)))
    assert all(isinstance(hold, Hold) for hold in holds)
    assert await books(purse) == (0, 1000, 0, 0)


async def test_nor_do_other_members_of_its_pool_wait_for_it(leasing: Process, lane: Lane, purse: Purse) -> None:
    await leasing.lease(100, await open_member(purse))
    hold = await leasing.take(1000, await open_member(purse, "carol"), wait_ms=60_000)
    assert isinstance(hold, Hold)


async def test_who_has_nothing_left_at_all_keeps_it(leasing: Process) -> None:
    await leasing.lease()
    assert isinstance(await leasing.take(1001), Refused)
    assert leasing.leases.open == 1


async def test_what_a_member_has_on_lease_is_its_parents(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    member = await open_member(purse, cap=500)
    await leasing.lease(100, member)
    assert await books(purse) == (550, 450, 0, 0)
    assert (await member.share()).held == 450
    await away(durable, lane)
    await leasing.pay(40, 100, member)
    with pytest.raises(StoreError):
        await leasing.take(100)
    await back(durable, lane, leasing)
    assert await books(purse) == (550, 410, 40, 0)
    share = await member.share()
    assert (share.held, share.spent) == (410, 40)
    await assert_right(purse)


async def test_credit_for_one_feature_is_leased_for_that_only(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await purse.grant(400, eligible_features=("chat",), priority=-1)
    await leasing.lease(10)
    await leasing.lease(100, feature="chat", count=2)
    (chat,) = [block for block in await purse.blocks() if block.grant.eligible_features]
    assert chat.held > 0
    await away(durable, lane)
    hold = await leasing.take(100, feature="chat")
    assert isinstance(hold, Bridged)
    await leasing.holds.commit(hold, 100, "", "reported")
    with pytest.raises(StoreError):
        await leasing.take(100)
    await back(durable, lane, leasing)
    (chat,) = [block for block in await purse.blocks() if block.grant.eligible_features]
    assert chat.spent == 100
    await assert_right(purse)


async def test_who_is_turned_away_has_none(leasing: Process, lane: Lane, purse: Purse) -> None:
    await leasing.lease()
    await lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "suspended")
    assert isinstance(await leasing.take(), Refused)
    assert leasing.leases.open == 0
    await lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "active")

    async def free() -> bool:
        return await books(purse) == (1000, 0, 0, 0)

    await until_async(free, "the lease to come back")


async def test_all_keys_of_a_customer_share_it(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
    _, secret = await purse.customers.create_key(purse.customer_id, name="another", now_ms=NOW_MS)
    another = proxy_keys.credential(secret)
    hold = await leasing.take(1, credential=another)
    assert isinstance(hold, Hold)
    await leasing.leases.look_after()
    assert leasing.leases.open == 1
    await leasing.holds.release(hold, "to be known")
    await away(durable, lane)
    leasing.leases.revoked(purse.customer_id, purse.credential)
    with pytest.raises(StoreError):
        await leasing.take(10)
    assert isinstance(await leasing.take(10, credential=another), Bridged)
    with pytest.raises(StoreError):
        await leasing.take(10, credential="external:unheard")


async def test_charges_of_a_lease_that_expired_make_no_debt(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
    await away(durable, lane)
    await leasing.pay(100)
    (lease,) = leasing.leases._all()
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


async def test_what_was_gone_when_it_expired_is_counted(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    """Others have spent what this process served, and had no lease on any more."""
    await leasing.lease()
    (lease,) = leasing.leases._all()
    record = lease.record
    assert record is not None
    hold = leasing.leases.take(purse.customer_id, purse.credential, UNIT, "", 100)
    assert hold is lease
    bridged = Bridged(
        leasing.purse.ledger.hold(purse.customer_id, "r1", ((UNIT, 100),), 1000, "", "a-rule", remember=True),
        hold,
    )
    await leasing.purse.ledger.release(record, "it has expired")
    await purse.reserve("r2", 950)
    await leasing.holds.commit(bridged, 100, "", "reported")
    await until(lambda: leasing.holds.settling.pending == 0, "the charge")
    assert await books(purse) == (0, 950, 50, 0)
    assert leasing.purse.ledger.overspent == {UNIT: 50}


async def test_what_runs_when_its_customer_is_turned_away_is_paid_by_it(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
    await away(durable, lane)
    running = await leasing.bridged(100)
    durable.start()
    await until(lambda: lane.connected, "the store")
    leasing.leases.suspended(purse.customer_id)
    await leasing.holds.commit(running, 100, "", "reported")
    await until(lambda: leasing.holds.settling.pending == 0, "the charge")
    assert await books(purse) == (550, 350, 100, 0)


async def test_the_heir_of_a_process_gives_back_what_is_left(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
) -> None:
    member = await open_member(purse)
    first = Process(lane, purse, tmp_path, LEASE)
    await first.lease(100, member)
    await away(durable, lane)
    await first.pay(70, 100, member)
    await first.end()
    durable.start()
    await until(lambda: lane.connected, "the store")
    heir = Process(lane, purse, tmp_path, LEASE)
    heir.tasks.start(heir.spool.run(heir.purse.ledger), "spool")

    async def all_back() -> bool:
        return await books(purse) == (930, 0, 70, 0)

    await until_async(all_back, "the charge, and the rest of the lease")
    await assert_right(purse)
    await heir.end()
