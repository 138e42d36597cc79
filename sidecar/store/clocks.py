"""How far the clock of an environment is ahead of the real one: kept in the store, where every process looks."""

from enum import Enum

from sidecar.domain.errors import Conflict, StoreCorrupt
from sidecar.store.commands import MOVE_CLOCK
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

AHEAD_MAX_MS = 10 * 366 * 86_400_000
"""Ten years: so long spend caps know their time zone."""


class Move(Enum):
    """Where a clock is moved: by so much, or to an instant."""

    BY = "by"
    TO = "to"


class Clocks:
    """Of one tenant's environment. Everything may raise StoreError; `lane` goes by the real time."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._key = Keys(tenant, environment).clock()

    async def ahead_ms(self) -> int:
        """How far it is ahead."""
        kept: bytes | None = await self._lane.execute("GET", self._key)
        return int(kept or 0)

    async def move(self, move: Move, ms: int) -> int:
        """Move it, forwards only; how far it is ahead then. Raises Conflict."""
        word, number = await self._lane.send(MOVE_CLOCK.pack([self._key], [move.value, ms, AHEAD_MAX_MS]))
        match word:
            case b"moved":
                return int(number)
            case b"back":
                raise Conflict("A clock goes only forwards, and this one is later already.")
            case b"far":
                raise Conflict("A clock can be ten years ahead of the real one at most.")
        raise StoreCorrupt(f"The script move_clock answered {word!r}.")
