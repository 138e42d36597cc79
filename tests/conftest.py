"""For everybody: a real store, and property tests that no busy machine can fail."""

import gc
from collections.abc import AsyncIterator, Iterator

import hypothesis
import pytest

from sidecar.store.address import parse_address
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from tests.support.store import StoreServer

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Thousands of tests, and what was imported for them, are there to the end: no collection need look at them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_store() -> Iterator[StoreServer]:
    """One server for the whole session; `store_url` empties it for each test."""
    server = StoreServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def store_url(shared_store: StoreServer) -> str:
    """The address of an empty database on a real server."""
    with shared_store.client() as client:
        client.flushall()
    return shared_store.url


@pytest.fixture
def store_server() -> Iterator[StoreServer]:
    """A server of the test's own, started, to kill, pause and restart."""
    server = StoreServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def lane(store_url: str) -> AsyncIterator[Lane]:
    """An open connection to the empty database."""
    lane = make_lane(parse_address(store_url))
    await lane.open()
    yield lane
    await lane.close()
