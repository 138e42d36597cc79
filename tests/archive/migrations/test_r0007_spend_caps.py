"""A ledger from before there were spend caps gets a place for them."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.journal import Position
from tests.archive.databases import rewind
from tests.archive.teller import Clock, Teller


async def test_caps_are_kept_from_then_on(archive: Archive, archive_url: str, database: Database) -> None:
    await rewind(database, "0006")
    again = Archive(archive_url)
    await again.open()
    clock = Clock()
    teller = Teller(clock)
    lines = [teller.record("customer", external_id="a"), teller.record("spend_caps", unit="credits", caps="cap_a 5")]
    await again.append(3, lines, Position())
    assert [state.spend_caps async for state in again.account_states()] == [{"credits": "cap_a 5"}]
    gone = [teller.record("spend_caps", unit="credits", caps="")]
    await again.append(3, gone, (await again.positions())[3])
    assert [state.spend_caps async for state in again.account_states()] == [{}]
    await again.close()
