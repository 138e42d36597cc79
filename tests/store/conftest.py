"""Every test of the store runs on each different server of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.store.lane import Lane
from tests.support.books import NOW_MS, Purse, open_purse
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer, servers


@pytest.fixture(scope="session", params=servers(), ids=lambda path: path.name)
def shared_store(request: pytest.FixtureRequest) -> Iterator[StoreServer]:
    binary: Path = request.param
    server = StoreServer(binary=binary)
    server.start()
    yield server
    server.remove()


@pytest.fixture
def clock(shared_store: StoreServer, store_url: str) -> Iterator[StoreClock]:
    """The time of the scripts, which stands still until the test moves it."""
    with store_clock(shared_store, NOW_MS) as clock:
        yield clock


@pytest.fixture
async def purse(lane: Lane) -> Purse:
    """A customer with 1,000 base units of credits."""
    return await open_purse(lane, granted=1000)
