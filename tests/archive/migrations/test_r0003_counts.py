"""Entries of before keep their hashes; what is counted stands in the chain and in a table that nobody can change."""

import pytest

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.counters import Counted
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.history import EntryFilter
from sidecar.domain.journal import Position
from tests.archive.databases import query, rewind, run, tamper
from tests.archive.teller import Clock, Teller

PAGES = Counted("ocr/pages@2026-11", 12, 3456)


async def test_the_chain_goes_on(archive: Archive, archive_url: str, database: Database) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(100), teller.commit((1, 30), rules_version="3f9a2c41")], Position())
    before = await query(database, "SELECT entry_id, hash FROM entries ORDER BY seq")
    await rewind(database, "0002")
    again = Archive(archive_url)
    await again.open()
    assert await query(database, "SELECT entry_id, hash FROM entries ORDER BY seq") == before
    last = await query(database, "SELECT ms, number FROM positions WHERE partition = 3")
    await again.append(3, [teller.commit((1, 20), counted=(PAGES,))], Position(*last[0]))
    assert [each async for each in again.verify_chain()] == []
    newest = (await again.entries(EntryFilter(customer_id="cus_a"), None, 1)).items[0]
    assert newest.counted == (PAGES,)
    await again.close()


async def test_what_was_counted_is_part_of_the_hash(archive: Archive, database: Database) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(100), teller.commit((1, 30), counted=(PAGES,))], Position())
    await tamper(database, "UPDATE entries SET counted = '' WHERE seq = 2")
    assert [each.what async for each in archive.verify_chain()] == ["hash"]


@pytest.mark.parametrize("change", ["UPDATE counts SET units = 1", "DELETE FROM counts"])
async def test_nobody_changes_counts(archive: Archive, database: Database, change: str) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(100), teller.commit((1, 30), counted=(PAGES,))], Position())
    with pytest.raises(ArchiveUnavailable, match="never changed"):
        await run(database, change)
