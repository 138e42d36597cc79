"""What must be so after a request, however it ended: settled once, books that add up, nothing left over."""

import asyncio
from pathlib import Path

from sidecar.domain.journal import Kind, Line
from tests.proxy.shop import Shop
from tests.support.books import Purse
from tests.support.process import sockets_of
from tests.support.sums import assert_right
from tests.support.until import until

RULES = Path(__file__).parent / "exits.yaml"
CREDIT = 1_000_000
ENDS = {Kind.COMMIT, Kind.RELEASE, Kind.HOLD_EXPIRY}


def purse_of(shop: Shop) -> Purse:
    """The books of its customer."""
    return Purse(shop.lane, shop.customer_id, "alice")


async def ended(shop: Shop) -> None:
    """Wait until the proxy has nothing in flight and the store owes it no answer."""
    engine = shop.proxy._engine
    await until(
        lambda: not (engine.running or shop.holds.settling.pending or engine.connections), "everything to end"
    )


async def assert_nothing_left(shop: Shop) -> None:
    """In the process: no request, hold, wait, body, turn in a queue, nor an upstream connection that is in use."""
    engine, load, upstreams = shop.proxy._engine, shop.proxy._load, shop.proxy._upstreams
    assert (engine.running, len(engine.drains.running), load.customers, load.bodies_bytes) == (0, 0, 0, 0)
    assert (shop.holds.settling.pending, len(shop.holds.upkeep._running), shop.queue.waiting) == (0, 0, 0)
    await until(lambda: upstreams.size == upstreams.idle and not upstreams.waiting, "the upstream to be left")


async def lines_of(shop: Shop) -> list[Line]:
    """What the ledger says of holds. The books add up, and no hold is open."""
    purse = purse_of(shop)
    await assert_right(purse)
    assert (await shop.balance()).held == 0
    return [line for line in await purse.lines() if line.hold is not None]


class Leftovers:
    """What a test has when it begins; `assert_none` compares when it ends."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._sockets = sockets_of("self")

    async def assert_none(self) -> None:
        await until(lambda: asyncio.all_tasks() <= self._tasks, "every task to end")
        await until(lambda: sockets_of("self") <= self._sockets, "every socket to be closed")
