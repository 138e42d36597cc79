"""Fixtures of the end-to-end tests: one house for the session, swept for each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.house import BODY_MAX_BYTES, House, Models, sidecar
from tests.support.store import StoreServer
from tests.support.upstream import Upstream


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
