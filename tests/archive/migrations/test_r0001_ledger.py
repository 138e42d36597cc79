"""The ledger's tables refuse every change, in the database itself."""

import pytest

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.journal import Position
from tests.archive.databases import query, run
from tests.archive.teller import Clock, Teller

CHANGES = [
    "UPDATE entries SET charged = 0",
    "UPDATE entries SET charged = charged WHERE seq = 1",
    "DELETE FROM entries WHERE seq = 2",
    "UPDATE postings SET amount = -amount",
    "DELETE FROM postings",
]


async def archive_some(archive: Archive) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(100), teller.commit((1, 30))], Position())


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_refused_and_the_rule_named(archive: Archive, database: Database, change: str) -> None:
    await archive_some(archive)
    before = [entry async for entry in archive.export()]
    with pytest.raises(ArchiveUnavailable, match="never changed: correct it by a further entry"):
        await run(database, change)
    assert [entry async for entry in archive.export()] == before
    assert [each async for each in archive.verify_chain()] == []


@pytest.mark.parametrize("table", ["entries", "postings"])
async def test_nobody_empties_or_replaces(archive: Archive, database: Database, table: str) -> None:
    await archive_some(archive)
    statement = (
        f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}" if database.address.path else f"TRUNCATE {table}"
    )
    count = f"SELECT count(*) FROM {table}"
    before = await query(database, count)
    with pytest.raises(ArchiveUnavailable, match="never changed: correct it by a further entry"):
        await run(database, statement)
    assert await query(database, count) == before
