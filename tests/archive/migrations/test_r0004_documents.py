"""A ledger from before there were documents gets a place for them, and stays as it is."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.journal import Position
from tests.archive.databases import query, rewind
from tests.archive.teller import Clock, Teller


async def test_the_ledger_stays(archive: Archive, archive_url: str, database: Database) -> None:
    await archive.append(3, [Teller(Clock()).grant(100)], Position())
    before = await query(database, "SELECT entry_id, hash FROM entries")
    await rewind(database, "0003")
    again = Archive(archive_url)
    await again.open()
    assert await query(database, "SELECT entry_id, hash FROM entries") == before
    await again.put_document("package", "small", b"{}", expected=0, now_ms=1)
    assert [each.key for each in (await again.changed_documents(0)).documents] == ["small"]
    await again.close()
