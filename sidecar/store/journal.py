"""The journal as its readers see it: one stream for each partition, read in order and trimmed behind the archive.

It writes no lines: the scripts of the ledger do. Beside each stream lies a mark, how far it is archived, for whoever
waits in another process.
"""

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import msgspec

from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Line, Position, Record
from sidecar.store.commands import ADVANCE_JOURNAL, JOURNAL_EXTENT, LIFT_JOURNAL, pack
from sidecar.store.journal_lines import line_of
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

START = Position()
"""Before the first line."""


class Behind(StrEnum):
    """Who has less than it once had."""

    STORE = "store"
    ARCHIVE = "archive"


_BEHIND = {each.value.encode(): each for each in Behind}


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition's journal holds."""

    length: int
    first: Position
    """Of the oldest line that is kept; 0-0 when there is none."""
    last: Position
    """Of the newest line that ever was, kept or not; 0-0 when there never was one."""


class Journal:
    """The 64 streams of one tenant's environment. Everything may raise StoreError."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)
        self._streams = [self._keys.journal(partition) for partition in range(PARTITIONS)]
        self._marks = [self._keys.archived(partition) for partition in range(PARTITIONS)]
        self._lengths = [pack("XLEN", stream) for stream in self._streams]
        self._extents = [JOURNAL_EXTENT.pack([stream]) for stream in self._streams]

    def partition(self, customer_id: str) -> int:
        """The partition whose journal has the lines about a customer."""
        return self._keys.partition(customer_id)

    async def read(self, partition: int, after: Position, limit: int) -> list[Line | Record]:
        """The next lines behind `after`, oldest first, at most `limit`; they end before one that is none of ours.

        Raises StoreCorrupt, naming partition and id, when that one is the next.
        """
        entries = await self._lane.execute("XRANGE", self._streams[partition], f"({after}", "+", "COUNT", limit)
        lines: list[Line | Record] = []
        for entry in entries:
            try:
                lines.append(line_of(partition, entry))
            except StoreCorrupt:
                if not lines:
                    raise
                break
        return lines

    async def tail(self, partition: int) -> Position:
        """The newest line that is kept; 0-0 when none is, and so all is archived."""
        entries = await self._lane.execute("XREVRANGE", self._streams[partition], "+", "-", "COUNT", 1)
        return Position.parse(entries[0][0].decode()) if entries else START

    async def tails(self) -> list[Position]:
        """`tail` of every partition."""
        extents = await self.extents()
        return [extent.last if extent.length else START for extent in extents]

    async def length(self, partition: int) -> int:
        """How many lines are kept."""
        length: int = await self._lane.send(self._lengths[partition])
        return length

    async def lengths(self) -> list[int]:
        """`length` of every partition."""
        return await self._all(self._lengths)

    async def extents(self) -> list[Extent]:
        """What every partition's journal holds."""
        return [
            Extent(length=length, first=Position.parse(first.decode()), last=Position.parse(last.decode()))
            for length, first, last in await self._all(self._extents)
        ]

    async def advance(self, partition: int, after: Position, upto: Position) -> Behind | None:
        """The archive went on from `after` to `upto`: move the mark there and drop those lines, in one step.

        The mark never goes back, and nothing behind `upto` is dropped. Answers who has lost what it had, if one has.
        """
        keys = [self._streams[partition], self._marks[partition]]
        found: bytes = await self._lane.send(ADVANCE_JOURNAL.pack(keys, [str(after), str(upto)]))
        return _BEHIND.get(found)

    async def lift(self, partition: int, position: Position) -> bool:
        """The archive is at `position`: begin anew behind it, whatever the store's clock says, if the journal is not.

        Answers whether it was behind. For a store that has lost what it had, or was made again from the archive.
        """
        keys = [self._streams[partition], self._marks[partition]]
        lifted: int = await self._lane.send(LIFT_JOURNAL.pack(keys, [str(position)]))
        return lifted == 1

    async def archived(self, partition: int) -> Position:
        """The mark: how far the archive is known to be."""
        (position,) = await self.archived_all([partition])
        return position

    async def archived_all(self, partitions: Sequence[int]) -> list[Position]:
        """The marks of these partitions."""
        marks = await self._all([pack("GET", self._marks[partition]) for partition in partitions])
        return [START if mark is None else Position.parse(mark.decode()) for mark in marks]

    async def _all(self, commands: list[bytes]) -> list[Any]:
        async def ask(command: bytes) -> Any:
            return await self._lane.send(command)

        # Not `send` itself: where one node is away it raises at once, and the others' replies would go unheard.
        return await asyncio.gather(*map(ask, commands))
