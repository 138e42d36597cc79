"""Work that comes round again and again, and ends between two rounds when it is told to.

A round is never cancelled: one that is at work in a database would leave its connection to be cleared away.
"""

import asyncio
import contextlib


class Rounds:
    """`next` waits for the next round."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._closing = asyncio.Event()

    async def next(self) -> bool:
        """Whether there is another round, once it is time for it; False at once when it was closed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), self._every_s)
        return not self._closing.is_set()

    def close(self) -> None:
        """There is no further round."""
        self._closing.set()
