"""The journals move into the archive: each line once, in order, and trimmed only behind it."""

import asyncio
import operator
from collections.abc import AsyncIterator
from functools import partial

import pytest

from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.journal import Position
from sidecar.services import archiver as module
from sidecar.services.archiver import BATCH, Archiver
from sidecar.store.journal import START, Behind, Journal
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import open_lane
from tests.support.lines import ENVIRONMENT, TENANT, customer_in, grant_line, record, stream_of, write, write_grants
from tests.support.memory_archive import MemoryArchive
from tests.support.store import StoreServer
from tests.support.until import until

ONE, TWO, THREE = 3, 31, 60


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.cancel()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def journal(lane: Lane) -> Journal:
    return Journal(lane, tenant=TENANT, environment=ENVIRONMENT)


@pytest.fixture
def archiver(journal: Journal, archive: MemoryArchive) -> Archiver:
    return Archiver(journal, archive)


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelname == "ERROR" and "archiver" in each.name]


async def test_all_lines_move_in_order_and_are_trimmed(
    journal: Journal, archive: MemoryArchive, shared_store: StoreServer
) -> None:
    passed: dict[int, Position] = {}
    archiver = Archiver(journal, archive, passed=passed.__setitem__)
    with shared_store.client() as client:
        expected = {partition: write_grants(client, partition, 2 * BATCH + 7) for partition in (ONE, TWO)}
        write(client, THREE, record("customer", customer_in(THREE), external_id="alice"))
    assert await archiver.drain(60)
    assert {partition: archive.archived(partition) for partition in expected} == expected
    assert len(archive.lines[THREE]) == 1
    assert archive.largest_batch == BATCH
    assert sum(await journal.lengths()) == 0
    assert passed == archive.at
    assert await journal.archived_all([ONE, TWO, THREE]) == [archive.at[each] for each in (ONE, TWO, THREE)]
    assert archiver.archived_total == 2 * (2 * BATCH + 7) + 1
    assert (archiver.failures_total, archiver.behind, archiver.stopped, archiver.last_error) == (0, {}, {}, "")


async def test_nothing_is_trimmed_before_it_is_archived(
    journal: Journal, archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer, tasks: Tasks
) -> None:
    with shared_store.client() as client:
        first = write_grants(client, ONE, 5)
        archive.go_on.clear()
        tasks.start(archiver.run(), "archiver")
        await until(lambda: archive.appending, "a batch to be under way")
        later = write_grants(client, ONE, 5, first=6)
    assert await journal.length(ONE) == 10
    assert await journal.archived(ONE) == START
    archive.go_on.set()
    await until(lambda: archive.archived(ONE) == first + later, "all to be archived")


async def test_what_somebody_waits_for_is_archived_at_once(
    archive: MemoryArchive,
    archiver: Archiver,
    shared_store: StoreServer,
    tasks: Tasks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 1000.0)
    tasks.start(archiver.run(), "archiver")
    customer_id = customer_in(ONE)
    with shared_store.client() as client:
        for number in range(1, 4):
            position = write(client, ONE, grant_line(customer_id, number, 10))
            archiver.nudge()
            await until(partial(operator.contains, archive.at.values(), position), "it to be archived")


async def test_no_more_batches_at_once_than_allowed(
    journal: Journal, archive: MemoryArchive, shared_store: StoreServer, tasks: Tasks
) -> None:
    with shared_store.client() as client:
        for partition in range(10):
            write_grants(client, partition, 1)
    archive.go_on.clear()
    tasks.start(Archiver(journal, archive, concurrency=3).run(), "archiver")
    await until(lambda: archive.appending == 3, "three batches")
    archive.go_on.set()
    await until(lambda: len(archive.at) == 10, "all of them")


async def test_the_archive_is_away_and_comes_back(
    journal: Journal,
    archive: MemoryArchive,
    archiver: Archiver,
    shared_store: StoreServer,
    tasks: Tasks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks.start(archiver.run(), "archiver")
    with shared_store.client() as client:
        expected = write_grants(client, ONE, 5)
        await until(lambda: archive.archived(ONE) == expected, "the first to be archived")
        archive.away = True
        expected += write_grants(client, ONE, 5, first=6)
    await until(lambda: archiver.failures_total >= 3, "it to be tried again")
    assert archiver.last_error == "The archive is away, as the test asked."
    assert await journal.length(ONE) == 5
    assert not await archiver.drain(60)
    archive.away = False
    await until(lambda: archive.archived(ONE) == expected, "the rest to be archived")
    await until(lambda: not archiver.last_error, "it to be well again")
    assert len(errors_in(caplog)) == 1
    assert await archiver.drain(60)


async def test_an_archive_that_is_away_from_the_start(
    archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer, tasks: Tasks
) -> None:
    archive.away = True
    tasks.start(archiver.run(), "archiver")
    with shared_store.client() as client:
        expected = write_grants(client, ONE, 5)
    await until(lambda: archiver.failures_total and archiver.waiting == 5, "it to fail")
    archive.away = False
    await until(lambda: archive.archived(ONE) == expected, "all to be archived")


async def test_a_batch_that_always_fails_does_not_hold_up_the_others(
    journal: Journal, archive: MemoryArchive, shared_store: StoreServer
) -> None:
    archiver = Archiver(journal, archive, concurrency=1)
    for partition in (ONE, TWO):
        archive.refuses[partition] = ArchiveUnavailable("The archive did not take it.")
    partitions = (0, ONE, TWO, THREE)
    with shared_store.client() as client:
        for partition in partitions:
            write_grants(client, partition, 1)
    for _ in range(len(partitions)):
        with pytest.raises(ArchiveUnavailable):
            await archiver.archive_once()
    assert set(archive.at) == {0, THREE}
    archive.refuses.clear()
    assert await archiver.drain(60)
    assert set(archive.at) == set(partitions)


async def test_a_foreign_line_stops_its_own_partition_only(
    journal: Journal,
    archive: MemoryArchive,
    archiver: Archiver,
    shared_store: StoreServer,
    tasks: Tasks,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STOPPED_S", 0.01)
    tasks.start(archiver.run(), "archiver")
    with shared_store.client() as client:
        expected = write_grants(client, ONE, 3)
        foreign = write(client, ONE, {"hello": b"world"})
        expected += write_grants(client, ONE, 3, first=4)
        others = write_grants(client, TWO, 3)
        await until(lambda: ONE in archiver.stopped and archive.archived(TWO) == others, "the others to be archived")
        assert archive.archived(ONE) == expected[:3]
        assert f"{foreign} in the journal of partition {ONE}" in archiver.stopped[ONE]
        assert await journal.length(ONE) == 4
        others += write_grants(client, TWO, 3, first=4)
        await until(lambda: archive.archived(TWO) == others, "the others to go on")
        assert len(errors_in(caplog)) == 1
        assert not await archiver.drain(60)
        client.xdel(stream_of(ONE), str(foreign))
        await until(lambda: archive.archived(ONE) == expected, "it to go on once it is mended")
    assert archiver.stopped == {}


async def test_draining_does_not_end_before_a_foreign_line(
    archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer
) -> None:
    with shared_store.client() as client:
        expected = write_grants(client, ONE, 3)
        write(client, ONE, {"hello": b"world"})
    assert not await archiver.drain(60)
    assert archive.archived(ONE) == expected


async def test_what_nobody_has_thought_of_stops_its_own_partition_only(
    archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    archive.refuses[ONE] = ArithmeticError("a line that nobody has thought of")
    with shared_store.client() as client:
        write_grants(client, ONE, 3)
        others = write_grants(client, TWO, 3)
    assert not await archiver.drain(60)
    assert archive.archived(TWO) == others
    assert "nobody has thought of" in archiver.stopped[ONE]
    assert "Traceback" in caplog.text


async def test_two_archivers_at_once(
    journal: Journal, archive: MemoryArchive, shared_store: StoreServer, tasks: Tasks
) -> None:
    archivers = [Archiver(journal, archive) for _ in range(2)]
    for each in archivers:
        tasks.start(each.run(), "archiver")
    expected: dict[int, list[Position]] = {ONE: [], TWO: []}
    with shared_store.client() as client:
        for number in range(30):
            for partition in expected:
                expected[partition] += await asyncio.to_thread(
                    write_grants, client, partition, 20, first=1 + 20 * number
                )
            archivers[number % 2].nudge()
    await until(lambda: {each: archive.archived(each) for each in expected} == expected, "all to be archived")
    await until(lambda: sum(each.archived_total for each in archivers) == 1200, "the count")
    assert [each.failures_total for each in archivers] == [0, 0]
    assert [each.behind for each in archivers] == [{}, {}]


async def test_one_that_stood_by_goes_on_where_the_other_stopped(
    journal: Journal, archive: MemoryArchive, shared_store: StoreServer
) -> None:
    one, two = Archiver(journal, archive), Archiver(journal, archive)
    expected = []
    with shared_store.client() as client:
        for number in range(4):
            expected += write_grants(client, ONE, 5, first=1 + 5 * number)
            assert await (one, two)[number % 2].drain(60)
    assert archive.archived(ONE) == expected
    assert (one.behind, two.behind) == ({}, {})


async def test_a_crash_before_the_mark_moved(
    journal: Journal, archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer
) -> None:
    with shared_store.client() as client:
        expected = write_grants(client, ONE, 5)
    await archive.append(ONE, await journal.read(ONE, START, 3), START)
    assert await archiver.drain(60)
    assert archive.archived(ONE) == expected
    with shared_store.client() as client:
        expected += write_grants(client, ONE, 2, first=6)
    await archive.append(ONE, await journal.read(ONE, expected[4], 3), expected[4])
    again = Archiver(journal, archive)
    assert await again.drain(60)
    assert await journal.length(ONE) == 0
    assert await journal.archived(ONE) == expected[-1]
    assert (archiver.behind, again.behind) == ({}, {})


@pytest.mark.parametrize("append_only", [False, True])
async def test_a_store_that_dies_and_comes_back(
    archive: MemoryArchive, tasks: Tasks, append_only: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server = StoreServer("--appendfsync", "always", append_only=append_only)
    server.start()
    try:
        async with open_lane(server.url) as lane:
            archiver = Archiver(Journal(lane, tenant=TENANT, environment=ENVIRONMENT), archive)
            tasks.start(archiver.run(), "archiver")
            with server.client() as client:
                expected = write_grants(client, ONE, 5)
            await until(lambda: archive.archived(ONE) == expected, "the first to be archived")
            server.kill()
            await until(lambda: archiver.failures_total, "it to fail")
            server.start()
            with server.client() as client:
                expected += write_grants(client, ONE, 5, first=6)
                await until(lambda: archive.archived(ONE) == expected, "the rest to be archived")
            lost = {} if append_only else {ONE: Behind.STORE}
            await until(lambda: archiver.behind == lost, "the loss to be seen")
            assert any("the store has lost" in each for each in errors_in(caplog)) is not append_only
            await tasks.cancel()
    finally:
        server.remove()


async def test_a_store_that_is_behind_its_archive_does_not_stay_so(
    journal: Journal, archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer
) -> None:
    archive.at[ONE] = Position(9_999_999_999_999, 5)
    assert await archiver.drain(60)
    assert archiver.behind == {ONE: Behind.STORE}
    with shared_store.client() as client:
        expected = write_grants(client, ONE, 3)
    assert await archiver.drain(60)
    assert archive.archived(ONE) == expected
    assert await journal.length(ONE) == 0


async def test_an_archive_that_has_less_than_it_had(
    journal: Journal, archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer
) -> None:
    with shared_store.client() as client:
        first = write_grants(client, ONE, 5)
        assert await archiver.drain(60)
        del archive.lines[ONE][3:]
        archive.at[ONE] = first[2]
        later = write_grants(client, ONE, 5, first=6)
    assert await archiver.drain(60)
    assert archive.archived(ONE) == first[:3] + later
    assert archiver.behind == {ONE: Behind.ARCHIVE}


async def test_draining_ends_in_time(archive: MemoryArchive, archiver: Archiver, shared_store: StoreServer) -> None:
    with shared_store.client() as client:
        expected = write_grants(client, ONE, 5)
    archive.go_on.clear()
    assert not await archiver.drain(0.05)
    archive.go_on.set()
    assert await archiver.drain(60)
    assert archive.archived(ONE) == expected


async def test_how_far_it_is_behind(
    journal: Journal, archive: MemoryArchive, shared_store: StoreServer, tasks: Tasks
) -> None:
    now = [1_700_000_000.0]
    archiver = Archiver(journal, archive, now_s=lambda: now[0])
    customer_id = customer_in(ONE)
    with shared_store.client() as client:
        for number, at in enumerate((1_700_000_000_000 - 2500, 1_700_000_000_000 - 500), 1):
            write(client, ONE, grant_line(customer_id, number, 10), at=f"{at}-0")
    assert (archiver.waiting, archiver.lag_ms) == (0, 0)
    archive.away = True
    task = tasks.start(archiver.run(), "archiver")
    await until(lambda: archiver.failures_total, "it to fail")
    assert (archiver.waiting, archiver.lag_ms) == (2, 2500)
    now[0] += 1
    assert archiver.lag_ms == 3500
    archive.away = False
    await until(lambda: archiver.lag_ms == 0 and archiver.waiting == 0, "it to catch up")
    archive.away = True
    with shared_store.client() as client:
        write_grants(client, ONE, 1, first=3)
    await until(lambda: archiver.waiting == 1, "it to be behind again")
    task.cancel()
    await asyncio.wait((task,))
    assert (archiver.waiting, archiver.lag_ms) == (0, 0)
