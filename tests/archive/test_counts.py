"""Adding up what entries have counted, in both databases."""

from sidecar.archive.archive import Archive
from sidecar.domain.counters import Counted
from sidecar.domain.journal import Position, entry_id
from tests.archive.teller import Clock, Teller

PAGES, CALLS = "ocr/pages@2026-11", "calls@ever"


async def test_counts_add_up_by_counter_until_an_entry(archive: Archive) -> None:
    clock = Clock()
    teller, other = Teller(clock), Teller(clock, "cus_b")
    lines = [
        teller.grant(100),
        teller.commit((1, 10), counted=(Counted(PAGES, 3, 3), Counted(CALLS, 1, 1))),
        other.grant(100),
        other.commit((1, 10), counted=(Counted(PAGES, 50, 50),)),
        teller.commit((1, 10), counted=(Counted(PAGES, 0, 3), Counted(CALLS, 1, 2))),
        teller.commit((1, 10), counted=(Counted(PAGES, 4, 7),)),
    ]
    await archive.append(3, lines, Position())
    assert await archive.counted("cus_a", "f") == {PAGES: 7, CALLS: 2}
    assert await archive.counted("cus_a", entry_id(3, lines[4].position)) == {PAGES: 3, CALLS: 2}
    assert await archive.counted("cus_b", "f") == {PAGES: 50}
    assert await archive.counted("cus_c", "f") == {}
    assert [each async for each in archive.verify_chain()] == []
