"""How large a lease is, how long it lives, and when it comes back."""

import pytest

from sidecar.domain.errors import StoreError
from sidecar.services.credit_leases import RULE
from sidecar.services.hold import Hold
from sidecar.store.lane import Lane
from tests.services.bridge import Process, away, back, books
from tests.support.books import UNIT, Purse
from tests.support.store import StoreServer
from tests.support.until import until_async


@pytest.fixture
def lane(leasing: Process) -> Lane:
    return leasing.lane


@pytest.fixture
def purse(leasing: Process) -> Purse:
    return leasing.purse


async def held(process: Process) -> Hold:
    hold = await process.holds.take(process.purse.customer_id, process.purse.credential, UNIT, 1, "", "a-rule")
    assert isinstance(hold, Hold)
    return hold


async def test_it_comes_back_when_it_is_not_used(leasing: Process, purse: Purse) -> None:
    await leasing.lease()
    leasing.clock.now += 61
    await leasing.leases.look_after()
    assert leasing.leases.open == 0
    assert await books(purse) == (1000, 0, 0, 0)


async def test_but_not_while_the_store_is_away(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
    await away(durable, lane)
    leasing.clock.now += 61
    await leasing.leases.look_after()
    await leasing.pay(100)
    await back(durable, lane, leasing)
    await leasing.leases.look_after()
    assert await books(purse) == (900, 0, 100, 0)


async def test_it_comes_back_when_the_process_ends(leasing: Process, purse: Purse) -> None:
    await leasing.lease()
    await leasing.leases.close()
    assert await books(purse) == (1000, 0, 0, 0)


async def test_it_lives_as_long_as_it_is_used(leasing: Process, purse: Purse) -> None:
    await leasing.lease()
    (before,) = await purse.holds()
    assert (before.rule, before.held) == (RULE, 450)
    leasing.clock.now += 210
    leasing.leases.used(purse.customer_id, purse.credential, UNIT, "", await held(leasing))
    await leasing.leases.look_after()
    (after, _) = sorted(await purse.holds(), key=lambda hold: hold.rule)
    assert (after.rule, after.held) == (RULE, 450)
    assert after.expires_at_ms > before.expires_at_ms
    assert leasing.leases.take(purse.customer_id, purse.credential, UNIT, "", 10) is not None


async def test_near_its_end_it_is_not_spent(leasing: Process, durable: StoreServer, lane: Lane) -> None:
    await leasing.lease()
    await away(durable, lane)
    leasing.clock.now += 479
    await leasing.bridged(10)
    leasing.clock.now += 2
    with pytest.raises(StoreError):
        await leasing.take(10)


async def test_one_that_the_store_gave_back_is_taken_again(leasing: Process, lane: Lane, purse: Purse) -> None:
    await leasing.lease()
    (lease,) = leasing.leases._all()
    assert lease.record is not None
    await leasing.purse.ledger.release(lease.record, "somebody was here")
    leasing.clock.now += 250
    lease.used_at = leasing.clock.now
    await leasing.leases.look_after()
    assert (leasing.leases.lost_total, leasing.leases.open) == (1, 0)
    await leasing.lease()


async def test_that_is_seen_when_it_should_grow_too(leasing: Process, lane: Lane, purse: Purse) -> None:
    await leasing.lease(1)
    (lease,) = leasing.leases._all()
    assert lease.record is not None
    await leasing.purse.ledger.release(lease.record, "somebody was here")
    for _ in range(20):
        await leasing.pay(1, 1)
    await leasing.leases.look_after()
    assert (leasing.leases.lost_total, leasing.leases.open, leasing.leases.held) == (1, 0, {UNIT: 0})


async def test_one_that_cannot_grow_lives_on(leasing: Process, purse: Purse) -> None:
    await leasing.lease(1)
    (before,) = await purse.holds()
    (lease,) = leasing.leases._all()
    lease.largest, lease.available = 5000, 50_000

    async def lengthened() -> bool:
        await leasing.leases.look_after()
        (after,) = await purse.holds()
        return after.held == before.held and after.expires_at_ms > before.expires_at_ms

    await until_async(lengthened, "a longer life")


async def test_it_becomes_smaller_when_less_is_spent(leasing: Process, purse: Purse) -> None:
    await leasing.lease(1)
    for _ in range(20):
        await leasing.pay(1, 1)
    for _ in range(20):
        await leasing.leases.look_after()
    assert leasing.leases.open == 1
    assert 0 < leasing.leases.held[UNIT] < 20

    async def one_left() -> bool:
        return [hold.held for hold in await purse.holds()] == [leasing.leases.held[UNIT]]

    await until_async(one_left, "the larger one to come back")


async def test_it_grows_with_what_is_spent(leasing: Process, purse: Purse) -> None:
    await leasing.lease(1)
    assert leasing.leases.held == {UNIT: 6}
    for _ in range(20):
        await leasing.pay(1, 1)
    await leasing.leases.look_after()
    assert leasing.leases.held[UNIT] > 100


async def test_what_costs_more_than_it_has_leaves_it_whole_when_it_grows(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
    await away(durable, lane)
    await leasing.pay(500)
    await back(durable, lane, leasing)
    await leasing.lease()
    (lease,) = await purse.holds()
    assert leasing.leases.held == {UNIT: lease.held}
    assert lease.held > 0


async def test_what_was_spent_and_given_back_is_counted(
    leasing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await leasing.lease()
    await away(durable, lane)
    await leasing.pay(100)
    await back(durable, lane, leasing)
    await leasing.leases.close()
    assert (leasing.leases.spent, leasing.leases.returned) == ({UNIT: 100}, {UNIT: 350})
    assert await books(purse) == (900, 0, 100, 0)
