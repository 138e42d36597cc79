"""An archive in memory: fenced like the real one, and away, slow or in trouble when a test says so."""

import asyncio
from collections.abc import Sequence

from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.history import Appended
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Line, Overtaken, Position, Record
from sidecar.store.journal import START


class MemoryArchive:
    def __init__(self) -> None:
        self.lines: list[list[Line | Record]] = [[] for _ in range(PARTITIONS)]
        self.at: dict[int, Position] = {}
        self.away = False
        self.refuses: dict[int, Exception] = {}
        """Partitions whose lines it does not take, and what it raises instead."""
        self.largest_batch = 0
        self.go_on = asyncio.Event()
        """Appending waits for it."""
        self.go_on.set()
        self.appending = 0

    async def append(self, partition: int, lines: Sequence[Line | Record], after: Position) -> Appended:
        self.appending += 1
        try:
            await self.go_on.wait()
        finally:
            self.appending -= 1
        self._check()
        assert lines, "an empty batch"
        if partition in self.refuses:
            raise self.refuses[partition]
        if self.at.get(partition, START) != after:
            raise Overtaken(self.at.get(partition, START))
        self.largest_batch = max(self.largest_batch, len(lines))
        self.lines[partition].extend(lines)
        self.at[partition] = lines[-1].position
        return Appended(lines[-1].position, len(lines))

    async def positions(self) -> dict[int, Position]:
        self._check()
        return dict(self.at)

    def archived(self, partition: int) -> list[Position]:
        return [line.position for line in self.lines[partition]]

    def _check(self) -> None:
        if self.away:
            raise ArchiveUnavailable("The archive is away, as the test asked.")
