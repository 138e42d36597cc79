"""A store whose clock stands still at `START_MS` until a test moves it."""

from collections.abc import Iterator

import pytest

from tests.ledger.drivers import START_MS
from tests.support.clock import StoreClock, store_clock
from tests.support.store import StoreServer


@pytest.fixture
def clock(store_url: str, shared_store: StoreServer) -> Iterator[StoreClock]:
    """Before the lane, which must be opened while it lasts."""
    with store_clock(shared_store, START_MS) as clock:
        yield clock
