"""Load on a store whose every effect can be counted: what was acknowledged, refused or left unknown."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from sidecar.domain.errors import StoreTimeout, StoreUnavailable
from sidecar.store.commands import pack
from sidecar.store.lane import Lane
from tests.support.until import until

_COUNT = "redis.call('INCR', KEYS[1]) return redis.call('HINCRBY', KEYS[2], ARGV[1], 1)"
"""Two keys, so that a slot on its way can have one of them here and one there."""
CALLERS = 16


class Effects:
    """Each command has an id, and is sent once: the store counts it in its partition."""

    def __init__(self, lane: Lane, partitions: Iterable[int], places: int = 8) -> None:
        self._lane = lane
        self._places = [(partition, place) for partition in partitions for place in range(places)]
        self._turns = itertools.cycle(self._places)
        self._ids = itertools.count()
        self.done: set[str] = set()
        self.refused: set[str] = set()
        self.unknown: set[str] = set()

    async def one(self) -> None:
        """Send one command and note its outcome."""
        effect = f"effect-{next(self._ids)}"
        keys = self._keys(*next(self._turns))
        try:
            await self._lane.ask(pack("EVAL", _COUNT, 2, *keys, effect), int)
        except StoreTimeout:
            self.unknown.add(effect)
        except StoreUnavailable:
            self.refused.add(effect)
            await asyncio.sleep(0.001)
        else:
            self.done.add(effect)

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Inside, `CALLERS` send commands one after another."""
        running = True

        async def call() -> None:
            while running:
                await self.one()

        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(call())
            yield
            running = False

    async def more(self, count: int = 500) -> None:
        """Wait until so many more are acknowledged."""
        wanted = len(self.done) + count
        await until(lambda: len(self.done) >= wanted, f"{count} more effects")

    async def found(self) -> Counter[str]:
        """How often each command took effect."""
        found: Counter[str] = Counter()
        for partition, place in self._places:
            total, counts = self._keys(partition, place)
            names: list[bytes] = await self._lane.execute("HGETALL", counts)
            numbers = {name.decode(): int(number) for name, number in zip(names[::2], names[1::2], strict=True)}
            assert int(await self._lane.execute("GET", total) or 0) == sum(numbers.values())
            found.update(numbers)
        return found

    @staticmethod
    def _keys(partition: int, place: int) -> tuple[str, str]:
        return f"sidecar:{{{partition}}}:total:{place}", f"sidecar:{{{partition}}}:counts:{place}"
