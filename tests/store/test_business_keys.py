"""A payment pays for one customer, once, whoever crashes."""

import asyncio

import pytest

from sidecar.domain.blocks import Grant
from sidecar.domain.errors import AmountOverflow, Conflict, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Granted
from sidecar.store.accounts import Accounts
from sidecar.store.business_keys import UNUSED_MS, BusinessKeys
from sidecar.store.customers import Customers
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT

NOBODY = new_id("cus", 1, b"0123456789")


class Desk:
    """Grants for one payment to several customers, each with an idempotency key of its own."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.accounts = Accounts(lane, tenant=TENANT, environment=ENVIRONMENT)
        self.customers = Customers(lane, tenant=TENANT, environment=ENVIRONMENT)
        self.keys = Keys(TENANT, ENVIRONMENT)
        self.grants = 0

    async def customer(self, external_id: str) -> str:
        customer, _ = await self.customers.create(external_id=external_id, now_ms=NOW_MS)
        return customer.customer_id

    async def pay(self, customer_id: str, payment: str = "pi_1", amount: int = 100, unit: str = "credits") -> Granted:
        self.grants += 1
        grant = Grant(
            block_id=f"blk_{self.grants}", unit=unit, amount=amount, source="topup", external_payment_id=payment
        )
        return await self.accounts.grant(customer_id, grant, Once(f"key {self.grants}", "f0"))

    async def available(self, customer_id: str) -> int:
        return sum(balance.available for balance in await self.accounts.balances(customer_id))


@pytest.fixture
def desk(lane: Lane) -> Desk:
    return Desk(lane)


async def test_a_payment_that_is_told_twice_is_granted_once(desk: Desk) -> None:
    alice = await desk.customer("alice")
    first = await desk.pay(alice)
    again = await desk.pay(alice)
    assert (again.block_id, again.duplicate, again.totals) == (first.block_id, True, first.totals)
    assert await desk.available(alice) == 100


@pytest.mark.parametrize(("amount", "unit"), [(101, "credits"), (100, "tokens")])
async def test_the_same_payment_for_another_amount_or_unit_is_a_conflict(desk: Desk, amount: int, unit: str) -> None:
    alice = await desk.customer("alice")
    await desk.pay(alice)
    with pytest.raises(Conflict, match="'pi_1' was used"):
        await desk.pay(alice, amount=amount, unit=unit)
    assert await desk.available(alice) == 100


async def test_the_same_payment_for_another_customer_is_a_conflict(desk: Desk) -> None:
    alice, bob = await desk.customer("alice"), await desk.customer("bob")
    await desk.pay(alice)
    with pytest.raises(Conflict, match="'pi_1' was used for another customer"):
        await desk.pay(bob)
    assert (await desk.available(alice), await desk.available(bob)) == (100, 0)


async def test_at_once_for_many_customers_it_is_granted_to_one(desk: Desk) -> None:
    customers = [await desk.customer(f"customer {number}") for number in range(20)]
    results = await asyncio.gather(*(desk.pay(each) for each in customers * 2), return_exceptions=True)
    assert all(isinstance(result, Granted | Conflict) for result in results)
    assert sum([await desk.available(each) for each in customers]) == 100


async def test_a_grant_that_was_refused_does_not_keep_the_payment(desk: Desk) -> None:
    alice, bob = await desk.customer("alice"), await desk.customer("bob")
    await desk.pay(alice, "pi_0", amount=2**53 - 1)
    with pytest.raises(AmountOverflow):
        await desk.pay(alice)
    with pytest.raises(NotFound):
        await desk.pay(NOBODY)
    assert (await desk.pay(bob)).amount == 100


async def test_who_claimed_it_and_died_loses_it_after_a_while(desk: Desk) -> None:
    """The claim lies there without a grant: for a minute somebody may still be at work on it."""
    alice, bob = await desk.customer("alice"), await desk.customer("bob")
    await BusinessKeys(desk.lane, desk.keys).claim(alice, ["payment:pi_1"])
    with pytest.raises(Conflict):
        await desk.pay(bob)
    owner = desk.keys.business("payment:pi_1")
    claimed = (await desk.lane.execute("GET", owner)).decode().split()
    await desk.lane.execute("SET", owner, f"{claimed[0]} {int(claimed[1]) - UNUSED_MS}")
    assert (await desk.pay(bob)).amount == 100
    with pytest.raises(Conflict):
        await desk.pay(alice)
