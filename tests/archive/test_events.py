"""Events in both databases: numbered without a gap, followed without a miss, dropped when old."""

import asyncio

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.events import Event, EventFilter, EventType
from sidecar.domain.journal import Position
from tests.archive.teller import Clock, Teller

START = Position()


async def fill(archive: Archive, partition: int, customer_id: str, batches: int) -> None:
    """Two events in each batch: a grant, and that nothing is left."""
    teller, after = Teller(Clock(partition), customer_id), START
    for number in range(1, batches + 1):
        lines = [teller.grant(10), teller.commit((number, 10))]
        after = (await archive.append(partition, lines, after)).position


async def all_after(archive: Archive, after: int) -> list[Event]:
    found, cursor = list[Event](), None
    while True:
        page = await archive.events(EventFilter(after=after), cursor, 3)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


async def test_whoever_follows_them_misses_none_of_many_writers(archive: Archive) -> None:
    filling = asyncio.gather(*(fill(archive, partition, f"cus_{partition}", 4) for partition in (1, 2, 3)))
    seen: list[Event] = []
    while len(seen) < 24:
        seen += await all_after(archive, seen[-1].sequence if seen else 0)
    await filling
    assert [event.sequence for event in seen] == list(range(1, 25))
    assert len({event.event_id for event in seen}) == 24


async def test_they_are_found_by_what_they_are(archive: Archive) -> None:
    clock = Clock()
    teller, other = Teller(clock, "cus_a"), Teller(clock, "cus_b")
    made, granted = teller.record("customer", external_id="alice", status="active"), teller.grant(5)
    clock.tick(1_000)
    await archive.append(3, [made, granted, other.grant(5), teller.commit((1, 5))], START)

    async def found(**wanted: object) -> list[tuple[str, str]]:
        page = await archive.events(EventFilter(**wanted))  # type: ignore[arg-type]  # fields of the filter
        return [(event.type.value, event.external_id) for event in page.items]

    assert await found(customer_id="cus_a") == [
        ("credits.exhausted", "alice"), ("credits.granted", "alice"), ("customer.created", "alice"),
    ]  # fmt: skip
    assert await found(types=(EventType.CREDITS_GRANTED,)) == [("credits.granted", ""), ("credits.granted", "alice")]
    assert len(await found(from_ms=clock.now_ms)) == 2
    assert len(await found(to_ms=clock.now_ms)) == 2
    newest = (await archive.events(EventFilter(), None, 1)).items[0]
    assert await archive.event(newest.event_id) == newest
    assert newest.data["balance"] == {"available": 0, "held": 0, "owed": 0}
    with pytest.raises(NotFound):
        await archive.event("evt_1")
    with pytest.raises(InvalidInput):
        await archive.events(EventFilter(), "nothing", 1)


async def test_old_ones_are_dropped_and_no_number_comes_again(archive: Archive) -> None:
    clock = Clock()
    teller = Teller(clock)
    first = await archive.append(3, [teller.grant(5), teller.commit((1, 5))], START)
    clock.tick(1_000)
    assert await archive.drop_events(clock.now_ms) == 1
    assert await archive.drop_events(clock.now_ms) == 0
    await archive.append(3, [teller.grant(5)], first.position)
    assert [event.sequence for event in await all_after(archive, 0)] == [2, 3]
