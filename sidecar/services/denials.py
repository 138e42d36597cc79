"""How often whom was refused what: counted in the process, added up in the store every few seconds.

For reports, not for bills: what a process has counted since it last said so is lost with it, and what the store may
have added is not said again.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from sidecar.domain.denials import Denial
from sidecar.domain.errors import StoreError, StoreUnavailable
from sidecar.store.denials import DenialCounts

log = logging.getLogger("sidecar.denials")

FLUSH_S: Final = 5.0
KINDS_MAX: Final = 1_000
"""So many different ones are told apart between two flushes; of the others it is not said who was refused."""


class Denials:
    """Of one process. `take` gives what was counted since it was last called, by code, rule and customer."""

    def __init__(
        self,
        counts: DenialCounts,
        take: Callable[[], Counter[Denial]],
        *,
        interval_s: float = FLUSH_S,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._counts = counts
        self._take = take
        self._interval_s = interval_s
        self._now_s = now_s
        self._waiting: Counter[Denial] = Counter()

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()

    async def flush(self) -> None:
        """Add what was counted to the store's sums; without the store it is kept for the next time."""
        for denial, number in self._take().items():
            known = denial in self._waiting or len(self._waiting) < KINDS_MAX
            self._waiting[denial if known else Denial(denial.code, denial.rule, "")] += number
        if not self._waiting:
            return
        counted, self._waiting = self._waiting, Counter()
        try:
            await self._counts.add(int(self._now_s()) // 3600, counted)
        except StoreUnavailable:
            self._waiting = counted
        except StoreError:
            # It may have taken effect: better too few than twice.
            log.warning("refusals of the last %g s are missing in the reports", self._interval_s)
