"""A ledger from before there were events has them from then on, and its balances go on."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.events import EventFilter, EventType
from sidecar.domain.journal import Position
from tests.archive.databases import rewind
from tests.archive.teller import Clock, Teller


async def test_there_are_events_from_then_on(archive: Archive, archive_url: str, database: Database) -> None:
    teller = Teller(Clock())
    await archive.append(3, [teller.grant(10)], Position())
    await rewind(database, "0007")
    again = Archive(archive_url)
    await again.open()
    assert (await again.events(EventFilter())).items == ()
    await again.append(3, [teller.commit((1, 10))], (await again.positions())[3])
    (event,) = (await again.events(EventFilter())).items
    assert (event.type, event.sequence) == (EventType.CREDITS_EXHAUSTED, 1)
    assert [each async for each in again.verify_chain()] == []
    await again.close()
