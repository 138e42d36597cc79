"""The clock of a `test` environment, which can be moved forwards to see what time does.

Whoever moves it sees it moved at once, every other process within half a second.
"""

import asyncio
import contextlib
from typing import Final

from sidecar.domain.errors import StoreError
from sidecar.store.clocks import Clocks, Move
from sidecar.store.lane import Lane
from sidecar.store.shifted_lane import Shift, ShiftedLane

LOOK_S: Final = 0.5

TEST: Final = "test"
"""The environment whose clock can be moved."""


def timed(lane: Lane, time: Shift, *, tenant: str, environment: str) -> tuple[Lane, "Clock | None"]:
    """The way to an environment's store by its own time, and its clock where that can be moved."""
    if environment != TEST:
        return lane, None
    return ShiftedLane(lane, time), Clock(time, Clocks(lane, tenant=tenant, environment=environment))


class Clock:
    """Lets `shift` be as the store has it."""

    def __init__(self, shift: Shift, clocks: Clocks) -> None:
        self._shift = shift
        self._clocks = clocks

    @property
    def now_ms(self) -> int:
        return self._shift.now_ms()

    @property
    def ahead_ms(self) -> int:
        """How far it is ahead of the real time."""
        return self._shift.ahead_ms

    async def look(self) -> None:
        """Go by what the store has. Raises StoreError."""
        # An answer may have been overtaken by a move, and a clock goes only forwards.
        self._shift.ahead_ms = max(self._shift.ahead_ms, await self._clocks.ahead_ms())

    async def run(self) -> None:
        """Look twice a second until cancelled. While the store is away, it goes on as it is."""
        while True:
            await asyncio.sleep(LOOK_S)
            with contextlib.suppress(StoreError):
                await self.look()

    async def catch_up(self, ms: int) -> None:
        """Move it to this instant, unless it is later. Raises Conflict, StoreError."""
        if ms > self.now_ms:
            await self.move(Move.TO, ms)

    async def move(self, move: Move, ms: int) -> None:
        """Move it, forwards only. Raises Conflict, StoreError."""
        self._shift.ahead_ms = max(self._shift.ahead_ms, await self._clocks.move(move, ms))
