"""The archive's face: everything that the rest of the program can ask of it."""

from collections.abc import Sequence

from sidecar.archive import schema
from sidecar.archive.address import parse_archive_address
from sidecar.archive.append import append
from sidecar.archive.database import Database
from sidecar.domain.history import Appended
from sidecar.domain.journal import Line, Position, Record


class Archive:
    """The ledger in one database. `url`: ``sqlite:///path`` or ``postgresql://…``; `InvalidInput` when it is neither.

    Every call raises `ArchiveUnavailable` when the database does not answer; the next call tries again.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(parse_archive_address(url))

    def __str__(self) -> str:
        return str(self._database.address)

    def __repr__(self) -> str:
        return f"Archive({self})"

    async def open(self) -> None:
        """Connect, and bring the schema up to date.

        `StartupError` when the database is newer than this program, or its driver is not installed.
        """
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    async def append(self, partition: int, lines: Sequence[Line | Record], after: Position) -> Appended:
        """Archive `lines`, which follow `after` in the journal of `partition`: all or nothing, each once.

        `Overtaken` when the archive of the partition does not stand at `after`; nothing was written.
        """
        return await append(self._database, partition, lines, after)

    async def positions(self) -> dict[int, Position]:
        """How far each partition is archived; one that never was is missing."""
        table = schema.positions
        async with self._database.reading() as transaction:
            rows = await transaction.connection.execute(table.select())
            return {row.partition: Position(row.ms, row.number) for row in rows}
