"""Credit that goes from one customer to another, whoever dies on the way; store and archive are real."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.domain.blocks import BlockState
from sidecar.domain.errors import StoreTimeout
from sidecar.domain.once import Once
from sidecar.domain.outcomes import Sent, Short
from sidecar.domain.transfers import NoRoom, Way
from sidecar.services.history import History
from sidecar.services.transferring import Transferring
from sidecar.services.written import Written
from sidecar.store.accounts import Accounts
from sidecar.store.keys import Keys
from sidecar.store.transfers import Transfers
from sidecar.tasks import Tasks
from tests.services.test_rebuilding import lose, rebuilding
from tests.services.test_verification import verified
from tests.support.books import open_lane
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer
from tests.support.town import ENVIRONMENT, NOW_MS, TENANT, UNIT, Town, open_town

HOUR_MS = 3_600_000


@pytest.fixture
def clock(store_url: str, shared_store: StoreServer) -> Iterator[StoreClock]:
    with store_clock(shared_store, NOW_MS) as clock:
        yield clock


@pytest.fixture
async def town(store_url: str, clock: StoreClock, tmp_path: Path) -> AsyncIterator[Town]:
    """Alice has three blocks, two of them special; bob has nothing."""
    async with open_town(store_url, f"sqlite:///{tmp_path / 'archive.db'}") as town:
        for name in ("alice", "bob"):
            await town.customer(name)
        await town.grant("alice", 50, priority=1, eligible_features=("chat",), expires_at_ms=NOW_MS + HOUR_MS)
        await town.grant("alice", 30, priority=2, price_paid=600, currency="EUR")
        await town.grant("alice", 100, priority=3)
        yield town


@pytest.fixture
async def history(town: Town) -> AsyncIterator[History]:
    tasks = Tasks()
    written = Written(town.journal, tasks=tasks, nudge=town.archiver.nudge)
    archiving = tasks.start(town.archiver.run(), "archiver")
    yield History(town.archive, town.journal, written)
    archiving.cancel()
    await tasks.cancel()


@pytest.fixture
def transferring(town: Town, history: History) -> Transferring:
    return Transferring(town.accounts, Transfers(town.lane, tenant=TENANT, environment=ENVIRONMENT), history)


async def give(
    transferring: Transferring, town: Town, amount: int | None, key: str = "k", *, owe: bool = False
) -> Sent | Short:
    ids = town.ids
    way = Way(transfer_id=f"trf_{key}", from_id=ids["alice"], to_id=ids["bob"], unit=UNIT, reason="a gift")
    detail = {"counterparty": ids["bob"], "why": "a gift"}
    return await transferring.send(way, amount, Once(key, "f0"), detail, owe=owe)


async def give_back(transferring: Transferring, town: Town, key: str) -> None:
    """All that bob has."""
    way = Way(transfer_id=f"trf_{key}", from_id=town.ids["bob"], to_id=town.ids["alice"], unit=UNIT)
    await transferring.send(way, None, Once(key, "f0"), {"counterparty": way.to_id})


async def everybody_has(town: Town) -> Counter[str]:
    """What all customers together have left, were granted and have spent."""
    sums = Counter[str]()
    for customer_id in town.ids.values():
        for balance in await town.accounts.balances(customer_id):
            sums["left"] += balance.available + balance.scheduled + balance.held - balance.owed
            sums["net"] += balance.granted - balance.spent - balance.owed
    return sums


async def test_each_slice_keeps_its_terms(town: Town, transferring: Transferring) -> None:
    before = await everybody_has(town)
    sent = await give(transferring, town, 100)
    assert isinstance(sent, Sent)
    blocks = (await town.accounts.account(town.ids["bob"], UNIT)).blocks
    told = [
        (
            block.available,
            block.grant.priority,
            block.grant.eligible_features,
            block.expires_at_ms,
            block.grant.price_paid,
        )
        for block in blocks
    ]
    assert told == [(50, 1, ("chat",), NOW_MS + HOUR_MS, None), (30, 2, (), None, 600), (20, 3, (), None, None)]
    assert await everybody_has(town) == before
    assert not await transferring.on_its_way(town.ids["alice"], "trf_k")
    again = await give(transferring, town, 100)
    assert isinstance(again, Sent)
    assert (again.taken.replayed, again.taken.slices) == (True, sent.taken.slices)
    assert await everybody_has(town) == before
    await town.archived()
    assert (await verified(town)).clean
    async with town.archive._database.reading() as transaction:
        legs = await transaction.connection.exec_driver_sql(
            "SELECT account, SUM(amount) AS amount FROM postings GROUP BY account"
        )
        sums = {str(row.account): int(row.amount) for row in legs}
    assert (sums["sent"], sums["received"], sum(sums.values())) == (100, -100, 0)


async def test_it_arrives_whoever_dies_on_the_way(
    town: Town, transferring: Transferring, history: History, store_url: str
) -> None:
    """One process dies before its first command, one before its second, and so on; another one finishes for it."""
    before = await everybody_has(town)
    names, left, dead = {"tenant": TENANT, "environment": ENVIRONMENT}, 0, 0
    async with open_lane(store_url) as lane:
        send = lane.send

        def sent(packed: bytes) -> asyncio.Future[object]:
            nonlocal left
            left -= 1
            if left < 0:
                raise StoreTimeout("The process dies.")
            return send(packed)

        lane.send = sent  # type: ignore[method-assign]  # the process that dies has this lane
        dying = Transferring(Accounts(lane, **names), Transfers(lane, **names), history)
        for number in range(20):
            left = number
            try:
                await give(dying, town, 52, f"k{number}")
            except StoreTimeout:
                dead += 1
            else:
                break
            if number % 2:
                await give(transferring, town, 52, f"k{number}")
            await transferring.look()
            assert await everybody_has(town) == before
            await give_back(transferring, town, f"b{number}")
    assert dead > 4
    assert transferring.finished_total > 1
    await town.archived()
    assert (await verified(town)).clean


async def test_what_was_on_its_way_when_the_store_was_lost_arrives_once(
    town: Town,
    transferring: Transferring,
    clock: StoreClock,
    shared_store: StoreServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = await everybody_has(town)
    await give(transferring, town, 10, "whole")
    grant, grants = town.accounts.grant, 0

    async def dying(*asked: object) -> object:
        nonlocal grants
        grants += 1
        if grants == 2:
            raise StoreTimeout("The process dies after the first piece.")
        return await grant(*asked)  # type: ignore[arg-type]  # as it was asked

    with monkeypatch.context() as patched:
        patched.setattr(town.accounts, "grant", dying)
        with pytest.raises(StoreTimeout):
            await give(transferring, town, 60, "half")
    await town.archived()
    assert (await verified(town)).clean
    lose(shared_store, clock)
    assert not (await verified(town)).clean
    assert (await rebuilding(town).run()).failed == ()
    assert await transferring.on_its_way(town.ids["alice"], "trf_half")
    assert (await verified(town)).clean
    await transferring.look()
    await transferring.look()
    assert await everybody_has(town) == before
    blocks = (await town.accounts.account(town.ids["bob"], UNIT)).blocks
    assert sorted(block.available for block in blocks) == [10, 20, 40]
    await town.archived()
    assert (await verified(town)).clean


async def test_what_is_lost_on_the_way_is_found_missing(
    town: Town, transferring: Transferring, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise StoreTimeout("The process dies.")

    monkeypatch.setattr(town.accounts, "grant", dies)
    with pytest.raises(StoreTimeout):
        await give(transferring, town, 50)
    await town.archived()
    assert (await verified(town)).clean
    partition = town.journal.partition(town.ids["alice"])
    await town.lane.execute("DEL", Keys(TENANT, ENVIRONMENT).transfers(partition))
    (difference,) = (await verified(town)).differences
    assert (difference.what, difference.found) == ("transfer trf_k", "neither")


async def test_all_of_it_goes_with_what_has_not_started(town: Town, transferring: Transferring) -> None:
    later = await town.grant("alice", 7, starts_at_ms=NOW_MS + HOUR_MS, expires_at_ms=NOW_MS + 2 * HOUR_MS)
    await town.grant("alice", 9, starts_after_block_id=later.block_id, duration_ms=HOUR_MS)
    before = await everybody_has(town)
    assert isinstance(await give(transferring, town, None), Sent)
    assert await give(transferring, town, None, "again") == Short(0, 0)
    blocks = (await town.accounts.account(town.ids["bob"], UNIT)).blocks
    states = {block.available: (block.state, block.starts_at_ms, block.expires_at_ms) for block in blocks}
    assert states[7] == (BlockState.SCHEDULED, NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS)
    assert states[9] == (BlockState.QUEUED, None, None)
    assert await everybody_has(town) == before
    await town.archived()
    assert (await verified(town)).clean


async def test_debt_can_be_taken_over(town: Town, transferring: Transferring) -> None:
    before = await everybody_has(town)
    sent = await give(transferring, town, 200, owe=True)
    assert isinstance(sent, Sent)
    assert (sent.taken.amount, sent.taken.owed) == (200, 20)
    assert (await town.accounts.balances(town.ids["bob"]))[0].available == 200
    assert await everybody_has(town) == before
    await town.archived()
    assert (await verified(town)).clean


async def test_nothing_is_taken_for_who_has_no_room(town: Town, transferring: Transferring) -> None:
    for _ in range(255):
        await town.grant("bob", 1)
    with pytest.raises(NoRoom):
        await give(transferring, town, 60)
    assert (await town.accounts.balances(town.ids["alice"]))[0].available == 180
    assert isinstance(await give(transferring, town, 50, "last"), Sent)
    assert not await transferring.on_its_way(town.ids["alice"], "trf_last")


async def test_what_has_expired_on_the_way_has_arrived_and_expired(
    town: Town, transferring: Transferring, clock: StoreClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise StoreTimeout("The process dies.")

    with monkeypatch.context() as patched:
        patched.setattr(town.accounts, "grant", dies)
        with pytest.raises(StoreTimeout):
            await give(transferring, town, 50)
    clock.tick(2 * HOUR_MS)
    await transferring.look()
    (balance,) = await town.accounts.balances(town.ids["bob"])
    assert (balance.granted, balance.available, balance.expired) == (50, 0, 50)
    await town.archived()
    assert (await verified(town)).clean
