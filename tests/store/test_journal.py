"""The journal's streams on a real server."""

import pytest

from sidecar.domain.errors import StoreCorrupt
from sidecar.domain.ids import PARTITIONS
from sidecar.domain.journal import Line, Position, Record
from sidecar.store.journal import START, Behind, Extent, Journal
from sidecar.store.lane import Lane
from tests.support.lines import (
    ENVIRONMENT,
    TENANT,
    customer_in,
    grant_line,
    record,
    stream_of,
    write,
    write_grants,
)
from tests.support.store import StoreServer

PARTITION = 17
FAR = Position(9_999_999_999_999, 3)
"""Behind whatever the server's clock gives."""


@pytest.fixture
def journal(lane: Lane) -> Journal:
    return Journal(lane, tenant=TENANT, environment=ENVIRONMENT)


async def test_lines_are_read_in_order_and_in_batches(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        written = write_grants(client, PARTITION, 7)
    after, read = START, []
    while lines := await journal.read(PARTITION, after, 3):
        assert len(lines) <= 3
        read += lines
        after = lines[-1].position
    assert [line.position for line in read] == written
    assert [line.seq for line in read if isinstance(line, Line)] == [1, 2, 3, 4, 5, 6, 7]
    assert {line.partition for line in read} == {PARTITION}
    assert await journal.read(PARTITION + 1, START, 3) == []


async def test_lines_of_one_millisecond_are_read_one_by_one(journal: Journal, shared_store: StoreServer) -> None:
    customer_id = customer_in(PARTITION)
    with shared_store.client() as client:
        for number in range(3):
            write(client, PARTITION, record("customer", customer_id, number=number), at=f"5-{number}")
    (line,) = await journal.read(PARTITION, Position(5, 0), 1)
    assert isinstance(line, Record)
    assert (line.position, line.data) == (Position(5, 1), {"number": 1})


async def test_a_line_that_is_none_of_ours_ends_the_batch(journal: Journal, shared_store: StoreServer) -> None:
    customer_id = customer_in(PARTITION)
    with shared_store.client() as client:
        good = write(client, PARTITION, grant_line(customer_id, 1, 10))
        bad = write(client, PARTITION, {"hello": b"world"})
        write(client, PARTITION, grant_line(customer_id, 2, 10))
    assert [line.position for line in await journal.read(PARTITION, START, 10)] == [good]
    with pytest.raises(StoreCorrupt, match=f"{bad} in the journal of partition {PARTITION}"):
        await journal.read(PARTITION, good, 10)


async def test_lengths_and_ends(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        written = write_grants(client, PARTITION, 3)
        (other,) = write_grants(client, 63, 1)
    assert await journal.length(PARTITION) == 3
    assert await journal.lengths() == [3 if n == PARTITION else 1 if n == 63 else 0 for n in range(PARTITIONS)]
    assert await journal.tail(PARTITION) == written[-1]
    assert await journal.tail(0) == START
    assert await journal.tails() == [
        written[-1] if n == PARTITION else other if n == 63 else START for n in range(PARTITIONS)
    ]
    extents = await journal.extents()
    assert extents[PARTITION] == Extent(length=3, first=written[0], last=written[-1])
    assert extents[0] == Extent(length=0, first=START, last=START)


async def test_the_mark_moves_with_the_lines_that_are_dropped(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        written = write_grants(client, PARTITION, 4)
    assert await journal.archived(PARTITION) == START
    assert await journal.advance(PARTITION, START, written[1]) is None
    assert await journal.archived_all([PARTITION, 3]) == [written[1], START]
    assert [line.position for line in await journal.read(PARTITION, START, 9)] == written[2:]
    assert await journal.advance(PARTITION, written[1], written[3]) is None
    assert await journal.length(PARTITION) == 0
    assert await journal.tail(PARTITION) == START
    assert (await journal.extents())[PARTITION] == Extent(length=0, first=START, last=written[3])


async def test_the_mark_never_goes_back(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        written = write_grants(client, PARTITION, 4)
    await journal.advance(PARTITION, START, written[2])
    assert await journal.advance(PARTITION, START, written[1]) is None
    assert await journal.archived(PARTITION) == written[2]
    assert await journal.length(PARTITION) == 1


async def test_positions_are_compared_as_numbers(journal: Journal, shared_store: StoreServer) -> None:
    for after, upto in (
        (START, Position(9, 9)),
        (Position(9, 9), Position(9, 10)),
        (Position(9, 10), Position(10, 0)),
    ):
        assert await journal.advance(PARTITION, after, upto) is None
        assert await journal.archived(PARTITION) == upto


async def test_a_crash_between_archive_and_mark_is_no_loss(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        written = write_grants(client, PARTITION, 4)
    # Nobody has moved the mark to the second line, but it is still there.
    assert await journal.advance(PARTITION, written[1], written[3]) is None
    assert await journal.archived(PARTITION) == written[3]


async def test_a_store_that_has_lost_lines_is_found_out(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        for number, at in enumerate(("5-0", "7-0"), 1):
            write(client, PARTITION, grant_line(customer_in(PARTITION), number, 10), at=at)
    assert await journal.advance(PARTITION, Position(6, 0), Position(7, 0)) is Behind.STORE
    assert await journal.archived(PARTITION) == Position(7, 0)
    assert await journal.length(PARTITION) == 0


async def test_an_archive_that_has_lost_lines_is_found_out(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        written = write_grants(client, PARTITION, 3)
    await journal.advance(PARTITION, START, written[1])
    assert await journal.advance(PARTITION, written[0], written[2]) is Behind.ARCHIVE
    assert await journal.length(PARTITION) == 0


@pytest.mark.parametrize("count", [0, 2])
async def test_a_journal_that_is_behind_begins_anew(journal: Journal, shared_store: StoreServer, count: int) -> None:
    with shared_store.client() as client:
        write_grants(client, PARTITION, count)
        assert await journal.lift(PARTITION, FAR)
        assert await journal.length(PARTITION) == 0
        assert await journal.archived(PARTITION) == FAR
        (position,) = write_grants(client, PARTITION, 1)
    assert position > FAR
    assert [line.position for line in await journal.read(PARTITION, FAR, 9)] == [position]


async def test_a_journal_that_is_not_behind_stays(journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        written = write_grants(client, PARTITION, 2)
    assert not await journal.lift(PARTITION, written[0])
    assert not await journal.lift(PARTITION, written[1])
    assert await journal.length(PARTITION) == 2
    assert await journal.archived(PARTITION) == START


async def test_environments_are_apart(lane: Lane, journal: Journal, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        write_grants(client, PARTITION, 2)
        assert client.exists(stream_of(PARTITION))
    assert sum(await Journal(lane, tenant=TENANT, environment="test").lengths()) == 0


async def test_a_customer_lies_where_its_lines_are(journal: Journal) -> None:
    assert journal.partition(customer_in(PARTITION)) == PARTITION
