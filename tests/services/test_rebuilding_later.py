"""What was bought or merged, in a store that was lost and made again."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.domain import proxy_keys
from sidecar.domain.blocks import Grant, Purchase
from sidecar.domain.errors import Conflict
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Bought, Refused, Reserved
from sidecar.store.purchases import Purchases
from tests.services.test_rebuilding import lose, rebuilding
from tests.services.test_verification import verified
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer
from tests.support.town import ENVIRONMENT, NOW_MS, TENANT, UNIT, Town, open_town


@pytest.fixture
def clock(store_url: str, shared_store: StoreServer) -> Iterator[StoreClock]:
    with store_clock(shared_store, NOW_MS) as clock:
        yield clock


@pytest.fixture
async def town(store_url: str, clock: StoreClock, tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(store_url, f"sqlite:///{tmp_path / 'archive.db'}") as town:
        yield town


async def test_what_was_bought_is_not_bought_again(town: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    alice, purchases = await town.customer("alice"), Purchases(town.lane, tenant=TENANT, environment=ENVIRONMENT)
    await town.grant("alice", 100)

    def pack(terms: str) -> Grant:
        purchase = Purchase(purchase_id="p1", unit=UNIT, amount=60, terms=terms)
        return Grant(block_id="blk_pack", unit=UNIT, amount=30, source="purchase", purchase=purchase)

    assert isinstance(await purchases.buy(alice, pack("ab"), Once("k1", "f"), {}), Bought)
    await town.archived()
    lose(shared_store, clock)
    assert (await rebuilding(town).run()).failed == ()
    again = await purchases.buy(alice, pack("ab"), Once("k2", "f"), {})
    assert isinstance(again, Bought)
    assert (again.duplicate, again.block_id) == (True, "blk_pack")
    with pytest.raises(Conflict):
        await purchases.buy(alice, pack("cd"), Once("k3", "f"), {})
    assert (await verified(town)).clean


async def test_who_was_merged_stays_who_it_is(town: Town, clock: StoreClock, shared_store: StoreServer) -> None:
    alice, old = await town.customer("alice"), await town.customer("old")
    await town.grant("alice", 100)
    _, secret = await town.customers.create_key(old, name="laptop", now_ms=1)
    merged = await town.customers.merge(old, alice)
    await town.archived()
    assert (await verified(town)).clean
    await town.customers.move_keys(old, alice)
    await town.customers.hand_over(merged)
    await town.archived()
    assert (await verified(town)).clean
    known = [await town.customers.get(each) for each in (alice, old)]
    lose(shared_store, clock)
    assert (await rebuilding(town).run()).failed == ()
    assert (await verified(town)).clean
    assert [await town.customers.get(each) for each in (alice, old)] == known
    assert await town.customers.find("old") == known[0]
    key = proxy_keys.credential(secret)
    for number, credential in enumerate((key, "external:old", "external:alice")):
        assert isinstance(await town.reserve("alice", f"r{number}", 1, credential=credential), Reserved)
    assert isinstance(await town.reserve("old", "r9", 1), Refused)
