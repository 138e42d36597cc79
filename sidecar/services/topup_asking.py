"""Asks for top-ups of balances of which there is no news.

A balance is looked at with each entry of its ledger; one that is empty has none any more, and its rule may only have
to wait for the end of its cool-down, or for the next day.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from sidecar.archive.archive import Archive
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.services.rounds import Rounds

EVERY_S: Final = 30.0

log = logging.getLogger("sidecar")


class TopupAsking:
    """`run` looks again and again until `close`, while `works` says that it is this process that does."""

    def __init__(
        self,
        archive: Archive,
        *,
        works: Callable[[], bool],
        every_s: float = EVERY_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._archive = archive
        self._works = works
        self._rounds = Rounds(every_s)
        self._now_ms = now_ms

    async def run(self) -> None:
        while await self._rounds.next():
            if not self._works():
                continue
            try:
                await self._archive.ask_for_topups(self._now_ms())
            except ArchiveUnavailable as error:
                log.debug("top-ups are not asked for yet: %s", error.detail)

    def close(self) -> None:
        """Let `run` end after the look that it is at."""
        self._rounds.close()
