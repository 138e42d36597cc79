import time
from collections.abc import Iterator

import pytest

from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer


@pytest.fixture(scope="module")
def movable(shared_store: StoreServer) -> Iterator[StoreClock]:
    with store_clock(shared_store, 0) as clock:
        yield clock


@pytest.fixture
def clock(movable: StoreClock, store_url: str) -> StoreClock:
    """Now, until a test goes on."""
    movable.tick(time.time_ns() // 1_000_000 - movable.now_ms)
    return movable
