"""What was bought or merged, in a store that was lost and made again."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.domain import proxy_keys
from sidecar.domain.blocks import Grant, Purchase
from sidecar.domain.errors import Conflict
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Bought, Refused, Reserved
from sidecar.domain.periods import SERIES, Carry, Closed, Closing, PeriodTerms, Turned
from sidecar.store.periods import Periods
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


async def test_what_was_opened_and_closed_is_not_again(
    town: Town, clock: StoreClock, shared_store: StoreServer
) -> None:
    alice, periods = await town.customer("alice"), Periods(town.lane, tenant=TENANT, environment=ENVIRONMENT)
    await town.grant("alice", 7)

    def opening(name: str, at_ms: int, amount: int) -> Grant:
        return Grant(block_id=name, unit=UNIT, amount=amount, source=SERIES, series=SERIES, period_starts_at_ms=at_ms)

    async def turn(key: str, name: str, amount: int) -> Turned:
        closing = Closing(ends_at_ms=2_000, carry=Carry(limit=30))
        return await periods.turn(alice, UNIT, closing, opening(name, 2_000, amount), Once(key, "f"), {"why": "june"})

    await periods.turn(alice, UNIT, None, opening("blk_1", 1_000, 100), Once("k1", "f"), {})
    first = await turn("k2", "blk_2", 50)
    await town.customers.update(alice, lambda each: replace(each, periods={UNIT: PeriodTerms(allocation=50)}))
    known = await town.customers.get(alice)
    await town.archived()
    assert (await verified(town)).clean
    lose(shared_store, clock)
    assert (await rebuilding(town).run()).failed == ()
    assert (await verified(town)).clean
    assert first.closed is not None
    assert first.opened is not None
    again = await turn("k3", "blk_3", 99)
    assert again.closed == replace(first.closed, duplicate=True)
    assert again.opened == replace(first.opened, duplicate=True)
    assert await periods.opened_last_ms(alice, UNIT) == 2_000
    assert await town.customers.get(alice) == known
    # What of a block had expired with its period stays so.
    after = await periods.turn(alice, UNIT, Closing(ends_at_ms=3_000), None, Once("k4", "f"), {})
    assert after.closed == Closed(available=80, expired=0, carried=80, balance=87)


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
