"""The worked examples of the texts here, through HTTP."""

import time
from collections.abc import Iterator

import pytest

from tests.control.examples.player import Example, Player, examples
from tests.support.clock import StoreClock, store_clock
from tests.support.control import Control
from tests.support.store import StoreServer


@pytest.fixture(scope="module")
def movable(shared_store: StoreServer) -> Iterator[StoreClock]:
    with store_clock(shared_store, 0) as clock:
        yield clock


@pytest.fixture
def clock(movable: StoreClock, store_url: str) -> StoreClock:
    """Now, until an example goes on."""
    movable.tick(time.time_ns() // 1_000_000 - movable.now_ms)
    return movable


@pytest.mark.parametrize("example", [pytest.param(example, id=example.name) for example in examples()])
async def test_it_is_as_it_says(clock: StoreClock, control: Control, example: Example) -> None:
    await Player(control, clock).play(example)
