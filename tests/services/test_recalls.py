"""A customer is not refused because another process holds its credit in advance."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.outcomes import Refused
from sidecar.services.hold import Hold
from sidecar.services.recalls import AGAIN_S, Recalls
from sidecar.store.lane import Lane
from tests.services.bridge import LEASE, Process, books
from tests.support.books import ENVIRONMENT, TENANT, UNIT, Purse, open_lane, open_purse
from tests.support.store import StoreServer
from tests.support.until import until

RULES = load_rules([Path("tests/e2e/bridging.yaml")], {UNIT: CREDITS})


@pytest.fixture
async def lane(store_server: StoreServer) -> AsyncIterator[Lane]:
    async with open_lane(store_server.url) as lane:
        yield lane


@pytest.fixture
async def purse(lane: Lane) -> Purse:
    return await open_purse(lane, granted=1000)


class Recalling:
    """A process that asks others, and is asked."""

    def __init__(self, lane: Lane, purse: Purse, folder: Path) -> None:
        self.process = Process(lane, purse, folder, LEASE)
        self.recalls = Recalls(
            lane, self.process.leases, tenant=TENANT, environment=ENVIRONMENT, tasks=self.process.tasks,
            now=self.process.clock,
        )  # fmt: skip
        self.process.leases.ask_others = self.recalls.ask
        self.process.tasks.start(self.recalls.run(), "recalls")

    async def listens(self) -> None:
        self.recalls.use(RULES)
        await until(lambda: self.recalls.hears, "it to listen")


@pytest.fixture
async def one(lane: Lane, purse: Purse, tmp_path: Path) -> AsyncIterator[Recalling]:
    made = Recalling(lane, purse, tmp_path)
    yield made
    await made.process.end()


@pytest.fixture
async def other(lane: Lane, purse: Purse, tmp_path: Path) -> AsyncIterator[Recalling]:
    made = Recalling(lane, purse, tmp_path)
    yield made
    await made.process.end()


async def test_others_give_back_what_a_request_is_short_of(one: Recalling, other: Recalling, purse: Purse) -> None:
    await one.listens()
    await other.listens()
    await other.process.lease()
    # It waits in the queue where the others are slow.
    hold = await one.process.take(1000, wait_ms=60_000)
    assert isinstance(hold, Hold)
    assert (other.process.leases.open, other.process.leases.returned) == (0, {UNIT: 450})
    assert await books(purse) == (0, 1000, 0, 0)


async def test_who_would_be_short_all_the_same_does_not_ask(one: Recalling, other: Recalling) -> None:
    await one.listens()
    await other.listens()
    await other.process.lease()
    assert isinstance(await one.process.take(1001), Refused)
    assert other.process.leases.open == 1


async def test_others_are_asked_once_in_a_while(one: Recalling, other: Recalling) -> None:
    await one.listens()
    await other.listens()
    assert await one.recalls.ask("somebody", UNIT)
    assert not await one.recalls.ask("somebody", UNIT)
    assert await one.recalls.ask("somebody else", UNIT)
    one.process.clock.now += AGAIN_S
    assert await one.recalls.ask("somebody", UNIT)


async def test_where_nobody_else_listens_nobody_waits(one: Recalling, other: Recalling) -> None:
    await one.listens()
    assert not await one.recalls.ask("somebody", UNIT)
    assert not other.recalls.hears


async def test_without_a_rule_that_leases_nobody_is_asked(one: Recalling, other: Recalling) -> None:
    await other.listens()
    assert not await one.recalls.ask("somebody", UNIT)
    assert not one.recalls.hears


async def test_a_store_that_is_away_is_not_asked(one: Recalling, lane: Lane, store_server: StoreServer) -> None:
    await one.listens()
    store_server.kill()
    await until(lambda: not lane.connected, "the loss of the store")
    assert not await one.recalls.ask("somebody", UNIT)
    store_server.start()
