"""Moves the journals into the archive, and trims from them what is archived.

The archive keeps how far it is in the same transaction as the lines, and takes a batch only from exactly there. So a
crash at any point, or a second archiver, neither loses nor doubles a line: all that is kept here are guesses that the
archive corrects.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sidecar.domain.errors import ArchiveUnavailable, StoreCorrupt, StoreError
from sidecar.domain.history import Appended
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Line, Overtaken, Position, Record
from sidecar.store.journal import START, Behind, Extent, Journal

log = logging.getLogger("sidecar.archiver")

BATCH = 500
"""Lines in one transaction."""
LOOK_S = 0.1
EXAMINE_S = 1.0
AWAY_FIRST_S = 0.1
AWAY_MOST_S = 1.0
STOPPED_S = 10.0
"""So long until a partition with a line that cannot be archived is tried again."""


class Archive(Protocol):
    """What the archiver needs of an archive. Both may raise ArchiveUnavailable."""

    async def append(self, partition: int, lines: Sequence[Line | Record], after: Position) -> Appended:
        """Keep `lines`, all or none; Overtaken, and nothing is kept, if the archive is not exactly at `after`."""

    async def positions(self) -> Mapping[int, Position]:
        """How far each partition is archived; those of which nothing is may be absent."""


class Archiver:
    """`run` archives until it is cancelled. `passed` is called with what the archive has, after each batch.

    At most `concurrency` batches are in memory and under way at once.
    """

    def __init__(
        self,
        journal: Journal,
        archive: Archive,
        *,
        passed: Callable[[int, Position], None] = lambda _partition, _position: None,
        concurrency: int = 4,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._archive = archive
        self._passed = passed
        self._concurrency = concurrency
        self._now_s = now_s
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self._positions: dict[int, Position] | None = None
        self._examine_at = 0.0
        self._begin_at = 0
        self._retry_at: dict[int, float] = {}
        self._oldest_ms: dict[int, int] = {}
        self.archived_total = 0
        self.failures_total = 0
        self.events_total = 0
        self.anomalies_total = 0
        """Lines that are archived and contradict those before them."""
        self.waiting = 0
        """Lines in the journals at the last look."""
        self.stopped: dict[int, str] = {}
        """Partitions whose next line cannot be archived, and why; the others go on."""
        self.behind: dict[int, Behind] = {}
        """Partitions of which the store, or the archive, has lost what it once had."""
        self.last_error = ""
        """Why it does not archive now; empty while it does."""

    @property
    def lag_ms(self) -> int:
        """The age of the oldest line that is not archived; 0 when there is none."""
        now_ms = round(self._now_s() * 1000)
        return max(0, now_ms - min(self._oldest_ms.values(), default=now_ms))

    def nudge(self) -> None:
        """Something was written that somebody waits for: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Archive what comes, whatever store and archive do meanwhile; it says once that one is away, and is back."""
        self._positions = None
        pause_s = AWAY_FIRST_S
        try:
            while True:
                self._wake.clear()
                try:
                    more = await self.archive_once()
                except (ArchiveUnavailable, StoreError):
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, AWAY_MOST_S)
                    continue
                pause_s = AWAY_FIRST_S
                if not more:
                    await self._idle()
        finally:
            # From here on, these are for whoever takes over to tell.
            self.waiting, self._oldest_ms, self.stopped, self.last_error = 0, {}, {}, ""

    async def drain(self, timeout_s: float) -> bool:
        """Archive all that is there now; False when some of it stays, because that failed or took too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self.archive_once():
                    pass
        except (ArchiveUnavailable, StoreError, TimeoutError):
            return False
        return not self.stopped

    async def archive_once(self) -> bool:
        """Move one batch of each partition that has lines; answers whether there may be more.

        Raises ArchiveUnavailable or StoreError; what was moved before stays moved.
        """
        async with self._turn:
            try:
                more = await self._archive_once()
            except (ArchiveUnavailable, StoreError) as error:
                self._failed(error.detail)
                raise
            if self.last_error:
                log.info("archiving goes on")
                self.last_error = ""
            return more

    async def _archive_once(self) -> bool:
        now = asyncio.get_running_loop().time()
        extents = await self._journal.extents() if now >= self._examine_at else None
        lengths = await self._journal.lengths() if extents is None else [extent.length for extent in extents]
        self.waiting = sum(lengths)
        if extents is not None:
            self._oldest_ms = {number: each.first.ms for number, each in enumerate(extents) if each.length}
        if self._positions is None:
            self._positions = dict(await self._archive.positions())
        if extents is not None:
            await self._lift(extents, self._positions)
            self._examine_at = now + EXAMINE_S
        # From behind the last failure on: a batch that always fails does not keep the other partitions waiting.
        order = (*range(self._begin_at, PARTITIONS), *range(self._begin_at))
        todo = deque(
            (number, lengths[number])
            for number in order
            if lengths[number] and self._retry_at.get(number, 0.0) <= now
        )
        return await self._move_all(todo, self._positions)

    async def _lift(self, extents: list[Extent], positions: dict[int, Position]) -> None:
        for partition, position in positions.items():
            if extents[partition].last < position and await self._journal.lift(partition, position):
                self._found_behind(partition, Behind.STORE)

    async def _move_all(self, todo: deque[tuple[int, int]], positions: dict[int, Position]) -> bool:
        async def move_next() -> bool:
            more = False
            while todo:
                partition, length = todo.popleft()
                try:
                    more |= await self._move(partition, length, positions)
                except BaseException:
                    self._begin_at = (partition + 1) % PARTITIONS
                    todo.clear()
                    raise
            return more

        movers = (move_next() for _ in range(min(self._concurrency, len(todo))))
        # All have ended before one's failure is told: none goes on when the turn is another's.
        results = await asyncio.gather(*movers, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return any(results)

    async def _move(self, partition: int, length: int, positions: dict[int, Position]) -> bool:
        """Move one batch of the `length` lines that there were; answers whether there may be more."""
        after = positions.get(partition, START)
        try:
            lines = await self._journal.read(partition, after, BATCH)
            if lines:
                self._count(await self._archive.append(partition, lines, after))
        except Overtaken as overtaken:
            log.debug("partition %d: another one archives too, up to %s", partition, overtaken.position)
            positions[partition] = overtaken.position
            return True
        except StoreCorrupt as error:
            self._stop(partition, error.detail)
            return False
        except (ArchiveUnavailable, StoreError):
            raise
        except Exception as error:
            # A line that the archive cannot take keeps its own partition, and not the others.
            log.exception("partition %d: the archive failed", partition)
            self._stop(
                partition, f"The archive failed at the lines behind {after} of partition {partition}: {error!r}."
            )
            return False
        if self.stopped.pop(partition, None) is not None:
            log.info("partition %d is archived again", partition)
        upto = positions[partition] = lines[-1].position if lines else after
        self._passed(partition, upto)
        if (behind := await self._journal.advance(partition, after, upto)) is not None:
            self._found_behind(partition, behind)
        if lines and len(lines) < length:
            self._oldest_ms[partition] = upto.ms
            return True
        self._oldest_ms.pop(partition, None)
        return False

    def _count(self, appended: Appended) -> None:
        self.archived_total += appended.entries
        self.events_total += appended.events
        self.anomalies_total += len(appended.anomalies)
        for anomaly in appended.anomalies[:1]:
            log.error(
                "entry %s, and %d more of its batch, are archived, but cannot be right: %s",
                anomaly.entry_id, len(appended.anomalies) - 1, anomaly.detail,
            )  # fmt: skip

    def _failed(self, why: str) -> None:
        self._examine_at = 0.0
        self.failures_total += 1
        if not self.last_error:
            log.error("archiving fails and is tried again and again: %s", why)
        self.last_error = why

    def _stop(self, partition: int, why: str) -> None:
        if self.stopped.get(partition) != why:
            log.error("nothing more of partition %d is archived until this is mended: %s", partition, why)
        self.stopped[partition] = why
        self._retry_at[partition] = asyncio.get_running_loop().time() + STOPPED_S

    def _found_behind(self, partition: int, who: Behind) -> None:
        self.behind[partition] = who
        log.error(
            "partition %d: the %s has lost what it once had; what comes is archived, and `sidecar verify` shows what "
            "is missing",
            partition, who,
        )  # fmt: skip

    async def _idle(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._wake.wait()
