"""Gives back the holds whose deadline has passed: what a crashed process held does not stay away for ever.

Any number of sweepers may run; each hold expires once. Expiry does not depend on the interval, only its visibility.
"""

import asyncio
import logging

from sidecar.domain.errors import StoreError
from sidecar.domain.ids import PARTITIONS
from sidecar.store.ledger import Ledger

log = logging.getLogger("sidecar.sweeper")

BATCH = 100


class Sweeper:
    """`run` sweeps all partitions every `interval_s`, until it is cancelled."""

    def __init__(self, ledger: Ledger, *, interval_s: float) -> None:
        self._ledger = ledger
        self._interval_s = interval_s
        self.sweeps_total = 0
        self.failures_total = 0
        self.expired_total = 0

    async def run(self) -> None:
        while True:
            try:
                await self.sweep()
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
