"""Every test of the store runs on each different server of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.store.lane import Lane
from tests.support.books import Purse, open_purse
from tests.support.store import StoreServer, servers


@pytest.fixture(scope="session", params=servers(), ids=lambda path: path.name)
def shared_store(request: pytest.FixtureRequest) -> Iterator[StoreServer]:
    binary: Path = request.param
    server = StoreServer(binary=binary)
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def purse(lane: Lane) -> Purse:
    """A customer with 1,000 base units of credits."""
    return await open_purse(lane, granted=1000)
