"""Every test of the store runs on each different server of this machine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.store.lane import Lane
from tests.support.books import NOW_MS, Purse, open_lane, open_purse
from tests.support.clock import StoreClock, store_clock
from tests.support.cluster import Cluster
from tests.support.store import StoreServer, servers, version


@pytest.fixture(scope="session", params=servers(), ids=version)
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


@pytest.fixture(scope="module", params=servers(), ids=version)
def running_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One for all tests of a file, of each version of the server."""
    cluster = Cluster(request.param)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
def cluster(running_cluster: Cluster) -> Cluster:
    """An empty cluster, whole when the test begins."""
    running_cluster.flush()
    return running_cluster


@pytest.fixture
async def cluster_lane(cluster: Cluster) -> AsyncIterator[Lane]:
    """An open lane to the empty cluster."""
    async with open_lane(cluster.url) as lane:
        yield lane
