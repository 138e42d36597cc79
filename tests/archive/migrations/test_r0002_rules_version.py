"""Entries from before there were versions keep their hashes, and new ones follow them in the same chain."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.history import EntryFilter
from sidecar.domain.journal import Position
from tests.archive.databases import query, rewind, tamper
from tests.archive.teller import Clock, Teller


async def test_the_chain_goes_on(archive: Archive, archive_url: str, database: Database) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(100), teller.commit((1, 30))], Position())
    before = await query(database, "SELECT entry_id, hash FROM entries ORDER BY seq")
    await rewind(database, "0001")
    again = Archive(archive_url)
    await again.open()
    assert await query(database, "SELECT entry_id, hash FROM entries ORDER BY seq") == before
    last = await query(database, "SELECT ms, number FROM positions WHERE partition = 3")
    await again.append(3, [teller.commit((1, 20), rules_version="3f9a2c41")], Position(*last[0]))
    assert [each async for each in again.verify_chain()] == []
    newest = (await again.entries(EntryFilter(customer_id="cus_a"), None, 1)).items[0]
    assert newest.rules_version == "3f9a2c41"
    await again.close()


async def test_the_version_is_part_of_the_hash(archive: Archive, database: Database) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(100), teller.commit((1, 30), rules_version="3f9a2c41")], Position())
    await tamper(database, "UPDATE entries SET rules_version = '' WHERE seq = 2")
    assert [each.what async for each in archive.verify_chain()] == ["hash"]
