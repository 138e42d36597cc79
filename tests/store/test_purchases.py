"""Purchases in the store; the state machine compares them with the model."""

import pytest

from sidecar.domain.blocks import Grant, Purchase
from sidecar.domain.errors import IdempotencyMismatch, InvalidInput, NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.journal import Kind
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Bought, Short
from sidecar.store.lane import Lane
from sidecar.store.purchases import Purchases
from tests.support.books import ENVIRONMENT, TENANT, UNIT, Purse, in_credits, open_purse
from tests.support.clock import StoreClock

NOBODY = new_id("cus", 1, b"0123456789")


@pytest.fixture
async def purse(clock: StoreClock, lane: Lane) -> Purse:
    return await open_purse(lane, granted=100)


@pytest.fixture
def purchases(lane: Lane) -> Purchases:
    return Purchases(lane, tenant=TENANT, environment=ENVIRONMENT)


def bought(amount: int, name: str = "p1") -> Grant:
    purchase = Purchase(purchase_id=name, unit=UNIT, amount=amount, terms="ab12")
    return Grant(block_id=f"blk_{name}", unit=UNIT, amount=30, source="purchase", purchase=purchase)


async def test_both_or_neither(purse: Purse, purchases: Purchases) -> None:
    assert await purchases.buy(purse.customer_id, bought(101), Once("k", "f0"), {}) == Short(101, 100)
    assert await purse.balance() == in_credits(100, 100, 0, 0)
    done = await purchases.buy(purse.customer_id, bought(40), Once("k", "f0"), {"actor": "shop"})
    assert isinstance(done, Bought)
    assert await purse.balance() == in_credits(130, 90, 0, 40)
    paid, granted = (await purse.lines())[-2:]
    assert (paid.kind, granted.kind, str(granted.position)) == (Kind.PURCHASE, Kind.GRANT, done.entry)
    assert paid.detail == granted.detail == {"actor": "shop", "purchase": "p1"}
    with pytest.raises(IdempotencyMismatch):
        await purchases.buy(purse.customer_id, bought(40), Once("k", "f1"), {})


async def test_nobody_and_nothing_buy_nothing(purse: Purse, purchases: Purchases) -> None:
    with pytest.raises(NotFound):
        await purchases.buy(NOBODY, bought(1), Once("k", "f0"), {})
    with pytest.raises(InvalidInput):
        await purchases.buy(purse.customer_id, bought(0), Once("k", "f0"), {})
    # A refused purchase keeps its id free for others.
    other = await open_purse(purse.lane, "bob", granted=5)
    assert isinstance(await purchases.buy(other.customer_id, bought(5), Once("k", "f0"), {}), Bought)
