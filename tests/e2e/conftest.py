"""Fixtures of the end-to-end tests: one house for the session, swept for each test."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.e2e.house import BODY_MAX_BYTES, House, Models, sidecar
from tests.support.store import StoreServer
from tests.support.upstream import Upstream, answers


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole_house() -> AsyncIterator[House]:
    store = StoreServer()
    store.start()
    try:
        async with (
            Upstream() as upstream,
            sidecar(
                upstream=upstream.url,
                store=store.url,
                limits__body_max_bytes=str(BODY_MAX_BYTES),
                # How soon a busy machine archives a grant is not what is tested.
                archive__timeout_s="10",
                log__level="debug",
                log__access="true",
            ) as running,
        ):
            yield House(store, upstream, running, Models())
    finally:
        store.remove()


@pytest.fixture
def house(whole_house: House) -> House:
    """A store, an upstream and `sidecar run` between them; the upstream's records are empty."""
    whole_house.clear()
    return whole_house


@pytest.fixture
def durable() -> Iterator[StoreServer]:
    """A store that remembers what it has acknowledged when it is killed."""
    server = StoreServer("--appendfsync", "always", append_only=True)
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """One that answers each request."""
    async with Upstream(answers(b"done")) as upstream:
        yield upstream
