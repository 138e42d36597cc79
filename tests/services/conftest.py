"""Desks for the tests of holds and settlements."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.services.bridge import LEASE, Process
from tests.services.bridge import TIMEOUT_S as LANE_TIMEOUT_S
from tests.services.desk import TIMEOUT_S, Desk
from tests.support.books import open_lane, open_purse
from tests.support.relay import Relay, serving
from tests.support.store import StoreServer


@pytest.fixture
async def desk(store_server: StoreServer) -> AsyncIterator[Desk]:
    async with open_lane(store_server.url, TIMEOUT_S) as lane:
        desk = Desk(lane, await open_purse(lane, granted=1000))
        yield desk
        await desk.tasks.cancel()


@pytest.fixture
async def relay(store_server: StoreServer) -> Relay:
    return Relay(store_server.socket)


@pytest.fixture
async def relayed(relay: Relay) -> AsyncIterator[Desk]:
    """The same through a relay that can lose replies."""
    async with serving(relay) as port, open_lane(f"redis://127.0.0.1:{port}", TIMEOUT_S) as lane:
        desk = Desk(lane, await open_purse(lane, granted=1000))
        yield desk
        await desk.tasks.cancel()


@pytest.fixture
def durable() -> Iterator[StoreServer]:
    # What it has acknowledged survives its being killed.
    server = StoreServer("--appendfsync", "always", append_only=True)
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def leasing(durable: StoreServer, tmp_path: Path) -> AsyncIterator[Process]:
    """A process that serves out of leases without its store, where its customer has 1,000 base units."""
    async with open_lane(durable.url, LANE_TIMEOUT_S) as lane:
        process = Process(lane, await open_purse(lane, granted=1000), tmp_path, LEASE)
        yield process
        await process.end()
