"""Back-pressure: when the archive stays away, new holds stop before the journals fill the store's memory.

Settlements go on, because what is already forwarded must be charged. So the journals end a little above the limit:
by what was held at that moment.
"""

import asyncio
import logging

from sidecar.domain.errors import JournalFull, StoreError
from sidecar.domain.ids import PARTITIONS
from sidecar.store.journal import Journal

log = logging.getLogger("sidecar.pressure")

INTERVAL_S = 1.0


class Pressure:
    """`run` looks at the journals' lengths; `check` answers from what it saw last.

    The lines of all partitions together have one limit. Beyond it, the partitions that hold more than an equal share
    are full: a few busy customers may use all of it, and do not stop the others when they have.
    """

    def __init__(self, journal: Journal, *, max_entries: int, interval_s: float = INTERVAL_S) -> None:
        self._journal = journal
        self._max_entries = max_entries
        self._interval_s = interval_s
        self._full: frozenset[int] = frozenset()
        self.entries = 0
        """In all journals."""

    @property
    def full_partitions(self) -> int:
        """How many partitions take no new holds."""
        return len(self._full)

    def full(self, partition: int) -> bool:
        """Whether new holds of this partition must be refused."""
        return partition in self._full

    def check(self, customer_id: str) -> None:
        """Raise JournalFull if new holds of this customer must be refused."""
        if self._full and self._journal.partition(customer_id) in self._full:
            raise JournalFull(
                "The archive is away, and the journal that keeps what it has missed is full; new requests are taken "
                "again when the archive is back."
            )

    async def run(self) -> None:
        """Look every `interval_s`, until this is cancelled."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.debug("the journals' lengths are unknown, the next look follows: %s", error.detail)
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """See now which partitions are full. Raises StoreError; then all stays as it was."""
        lengths = await self._journal.lengths()
        self.entries = sum(lengths)
        over, share = self.entries >= self._max_entries, self._max_entries / PARTITIONS
        full = frozenset(partition for partition, length in enumerate(lengths) if over and length >= share)
        if full and not self._full:
            log.error(
                "the journals hold %d entries that are not archived, the limit is %d: new holds of %d partitions are "
                "refused until the archive is back",
                self.entries, self._max_entries, len(full),
            )  # fmt: skip
        elif self._full and not full:
            log.info("the journals hold %d entries; new holds are taken again", self.entries)
        self._full = full
