"""Processes that take holds of one purse and let requests wait, as far as that can be had in one process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import UNIT, Purse, open_lane
from tests.support.until import BOUND_S, until_async

LONG_MS = 60_000
"""Nobody waits so long: what happens before a test's bound was woken."""
BRIEF_MS = 50


class Process:
    """One process with a connection of its own; `purse` is who its requests are from."""

    def __init__(self, lane: Lane, purse: Purse, *, waiting_max: int = 100, ttl_s: float = 60) -> None:
        self.lane = lane
        self.purse = purse.elsewhere(lane)
        self.tasks = Tasks()
        pressure = Pressure(purse.journal, max_entries=1_000_000)
        self.queue = Queue(lane, self.purse.ledger, waiting_max=waiting_max, account_max=50, tasks=self.tasks)
        self.holds = Holds(
            self.purse.ledger,
            pressure,
            self.queue,
            Outage(lane, self.tasks),
            ttl_s=ttl_s,
            timeout_s=2,
            tasks=self.tasks,
        )
        self.give_up: Callable[[], None] | None = None
        """How to make the last request that began to wait give up."""

    async def take(self, amount: int, wait_ms: int = LONG_MS, purse: Purse | None = None) -> Hold | Refused:
        purse = purse or self.purse
        return await self.holds.take(
            purse.customer_id, purse.credential, UNIT, amount, "", "a-rule", wait_ms=wait_ms, tell_how=self._told_how
        )

    def waits(self, amount: int, wait_ms: int = LONG_MS) -> "asyncio.Task[Hold | Refused]":
        return asyncio.ensure_future(self.take(amount, wait_ms))

    async def settle(self, hold: Hold, cost: int = 1) -> None:
        assert await self.holds.commit(hold, cost, "input_tokens=1", "reported")

    async def stands(self, count: int) -> None:
        """So many requests stand in the purse's queue."""

        async def there() -> bool:
            return await in_queue(self.purse) == count

        await until_async(there, f"{count} in the queue")

    def _told_how(self, give_up: Callable[[], None] | None) -> None:
        self.give_up = give_up or self.give_up


async def in_queue(purse: Purse) -> int:
    record: bytes | None = await purse.lane.execute("HGET", purse.keys.of(purse.payer_id).holds, f"waiters {UNIT}")
    return 0 if record is None else record.count(b"rsv_")


@asynccontextmanager
async def process(url: str, purse: Purse, *, timeout_s: float = 5, **terms: int) -> AsyncIterator[Process]:
    async with open_lane(url, timeout_s) as lane:
        made = Process(lane, purse, **terms)
        yield made
        assert made.queue.waiting == 0
        assert await made.holds.settling.drain(10)
        await made.tasks.cancel()


async def held(who: Process, amount: int) -> Hold:
    hold = await who.take(amount)
    assert isinstance(hold, Hold)
    return hold


def refused_in_flight(outcome: Hold | Refused) -> bool:
    return isinstance(outcome, Refused) and outcome.code is RefusalCode.HOLDS_IN_FLIGHT


async def expected(waiting: "asyncio.Task[Hold | Refused]") -> Hold:
    async with asyncio.timeout(BOUND_S):
        hold = await waiting
    assert isinstance(hold, Hold)
    return hold
