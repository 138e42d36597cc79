"""Drops the events that nobody keeps any more. The ledger is none of its business: that is kept for ever.

Any number of processes may do it.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from sidecar.archive.archive import Archive
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.services.rounds import Rounds

EVERY_S: Final = 600.0
_DAY_MS: Final = 86_400_000

log = logging.getLogger("sidecar")


class Retention:
    """`run` drops events that are older than `events_kept_days`, again and again until `close`; 0: none."""

    def __init__(
        self,
        archive: Archive,
        events_kept_days: float,
        *,
        every_s: float = EVERY_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._archive = archive
        self._kept_ms = round(events_kept_days * _DAY_MS)
        self._rounds = Rounds(every_s)
        self._now_ms = now_ms

    async def run(self) -> None:
        while await self._rounds.next():
            try:
                await self.drop()
            except ArchiveUnavailable as error:
                log.debug("old events are not dropped yet: %s", error.detail)

    def close(self) -> None:
        """Let `run` end after what it is at: a cancelled one leaves its connection to be cleared away."""
        self._rounds.close()

    async def drop(self) -> int:
        """Drop what is too old now; how many events that was. Raises ArchiveUnavailable."""
        return await self._archive.drop_events(self._now_ms() - self._kept_ms) if self._kept_ms else 0
