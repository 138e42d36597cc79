"""Gives back the holds whose deadline has passed: what a crashed process held does not stay away for ever.

Any number of sweepers may run; each hold expires once. Expiry does not depend on the interval, only its visibility.
When the store was away, those who hold something get `grace_s` to say that they still do, or what they spent of it.
"""

import asyncio
import logging
from typing import Final

from sidecar.domain.errors import StoreError
from sidecar.domain.ids import PARTITIONS
from sidecar.store.ledger import Ledger

log = logging.getLogger("sidecar.sweeper")

BATCH = 100
GRACE_S: Final = 5.0


class Sweeper:
    """`run` sweeps all partitions every `interval_s`, until it is cancelled.

    It waits for `grace_s` before the first sweep, and when the store is back after one that failed.
    """

    def __init__(self, ledger: Ledger, *, interval_s: float, grace_s: float = GRACE_S) -> None:
        self._ledger = ledger
        self._interval_s = interval_s
        self._grace_s = grace_s
        self.sweeps_total = 0
        self.failures_total = 0
        self.expired_total = 0

    async def run(self) -> None:
        while True:
            try:
                # That it answers must be known before the time begins that those get who hold something.
                await asyncio.gather(*(self._ledger.sweep(partition, 0) for partition in range(PARTITIONS)))
                await asyncio.sleep(self._grace_s)
                while True:
                    await self.sweep()
                    await asyncio.sleep(self._interval_s)
            except StoreError as error:
                self.failures_total += 1
                log.debug("sweep failed, the next one follows: %s", error.detail)
                await asyncio.sleep(self._interval_s)

    async def sweep(self) -> int:
        """Expire everything that is overdue now, in bounded batches; answers how many holds that were."""
        total, partitions = 0, list(range(PARTITIONS))
        while partitions:
            swept = await asyncio.gather(*(self._ledger.sweep(partition, BATCH) for partition in partitions))
            expired = sum(count for _, count in swept)
            total += expired
            self.expired_total += expired
            partitions = [
                partition for partition, (payers, _) in zip(partitions, swept, strict=True) if payers == BATCH
            ]
        self.sweeps_total += 1
        return total
