"""A lane whose scripts go by another clock than the server's: that of an environment in which time can be moved.

While the clock is not ahead, commands go as they are. It knows nothing of who moves it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sidecar.store.commands import argument, sha_of, shifted
from sidecar.store.lane import Lane
from sidecar.store.reply import Reply
from sidecar.store.subscription import Subscription

T = TypeVar("T")


class Shift:
    """How far a clock is ahead of the real one, ms: 0 for ever, but in environments where it can be moved."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def now_s(self) -> float:
        return time.time() + self.ahead_ms / 1000


class ShiftedLane(Lane):
    """The way to the store of `lane`, which somebody else opens and closes, on the clock of `shift`."""

    def __init__(self, lane: Lane, shift: Shift) -> None:
        self._lane = lane
        self._shift = shift
        self.round_trips = lane.round_trips

    async def open(self) -> None:
        await self._lane.open()

    async def close(self) -> None:
        await self._lane.close()

    @property
    def connected(self) -> bool:
        return self._lane.connected

    @property
    def waiting(self) -> int:
        return self._lane.waiting

    @property
    def commands_total(self) -> int:
        return self._lane.commands_total

    @property
    def flushes_total(self) -> int:
        return self._lane.flushes_total

    @property
    def timeouts_total(self) -> int:
        return self._lane.timeouts_total

    @property
    def reconnects_total(self) -> int:
        return self._lane.reconnects_total

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        return self._lane.send(self._shifted(packed))

    def ask(self, packed: bytes, decode: Callable[[Any], T]) -> Reply[T]:
        return self._lane.ask(self._shifted(packed), decode)

    @property
    def counts_listeners(self) -> bool:
        return self._lane.counts_listeners

    async def listen(self, channel: bytes, heard: Callable[[bytes], object]) -> Subscription:
        return await self._lane.listen(channel, heard)

    def _shifted(self, packed: bytes) -> bytes:
        """The call of a script that goes by the time as one of its variant, with one argument more."""
        ahead_ms, sha = self._shift.ahead_ms, sha_of(packed)
        if not ahead_ms or (script := shifted().get(sha)) is None:
            return packed
        count, line, rest = packed.partition(b"\r\n")
        return b"*%d" % (int(count[1:]) + 1) + line + rest.replace(sha, script.sha, 1) + argument(ahead_ms)
