"""Questions wait for what was written before them. What the answers are is the archive's to test."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.history import EntryFilter, UsageBy
from sidecar.services.archiver import Archiver
from sidecar.services.history import History
from sidecar.services.written import Written
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.archives import new_archive
from tests.support.control import OWNER
from tests.support.lines import customer_in, write_grants
from tests.support.store import StoreServer

PARTITION, OTHER = 3, 60
LONG_S, SHORT_S = 60.0, 0.05
FAR_MS = 2**52


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(new_archive(tmp_path))
    await archive.open()
    yield archive
    await archive.close()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.cancel()


class Past:
    """A history, and the archiver that it waits for: it archives when a test says so."""

    def __init__(self, archive: Archive, lane: Lane, tasks: Tasks, *, timeout_s: float, wait: bool = True) -> None:
        journal = Journal(lane, **OWNER)
        self.nudged = asyncio.Event()
        written = Written(journal, tasks=tasks, timeout_s=timeout_s, nudge=self.nudged.set)
        self.archiver = Archiver(journal, archive, passed=written.passed)
        self.history = History(archive, journal, written, wait_for_writes=wait)


async def test_every_question_waits_for_what_was_there_before_it(
    archive: Archive, lane: Lane, tasks: Tasks, shared_store: StoreServer
) -> None:
    past = Past(archive, lane, tasks, timeout_s=LONG_S)
    with shared_store.client() as client:
        write_grants(client, PARTITION, 3)
    customer_id = customer_in(PARTITION)

    async def exported() -> int:
        return len([entry async for entry in past.history.export(EntryFilter())])

    questions = [
        past.history.entries(EntryFilter(customer_id=customer_id), None, 10),
        past.history.entries(EntryFilter(), None, 10),
        past.history.totals_at(customer_id, FAR_MS),
        past.history.usage([UsageBy.RULE], EntryFilter(), None, 10),
        exported(),
    ]
    asked = [tasks.start(question, "question") for question in questions]
    await past.nudged.wait()
    assert not any(each.done() for each in asked)
    while await past.archiver.archive_once():
        pass
    of_customer, of_all, totals, usage, count = await asyncio.gather(*asked)
    assert (len(of_customer.items), len(of_all.items), count) == (3, 3, 3)
    assert totals["credits"].granted == of_customer.items[0].after.granted
    assert usage.items == ()


async def test_a_question_of_one_customer_does_not_wait_for_others(
    archive: Archive, lane: Lane, tasks: Tasks, shared_store: StoreServer
) -> None:
    past = Past(archive, lane, tasks, timeout_s=SHORT_S)
    with shared_store.client() as client:
        write_grants(client, PARTITION, 1)
    page = await past.history.entries(EntryFilter(customer_id=customer_in(OTHER)), None, 10)
    assert page.items == ()
    with pytest.raises(ArchiveUnavailable):
        await past.history.entries(EntryFilter(customer_id=customer_in(PARTITION)), None, 10)
    with pytest.raises(ArchiveUnavailable):
        await past.history.usage([UsageBy.RULE], EntryFilter(), None, 10)


async def test_a_write_waits_for_its_own_place(
    archive: Archive, lane: Lane, tasks: Tasks, shared_store: StoreServer
) -> None:
    past = Past(archive, lane, tasks, timeout_s=LONG_S)
    with shared_store.client() as client:
        position = write_grants(client, PARTITION, 1)[-1]
    waiting = tasks.start(past.history.written(customer_in(PARTITION), str(position)), "writer")
    await past.nudged.wait()
    assert not waiting.done()
    await past.archiver.archive_once()
    await waiting


async def test_a_write_that_is_not_archived_in_time_is_said_to_be_done(
    archive: Archive, lane: Lane, tasks: Tasks, shared_store: StoreServer
) -> None:
    with shared_store.client() as client:
        position = write_grants(client, PARTITION, 1)[-1]
    past = Past(archive, lane, tasks, timeout_s=SHORT_S)
    with pytest.raises(ArchiveUnavailable, match=r"in effect.*same Idempotency-Key"):
        await past.history.written(customer_in(PARTITION), str(position))
    hasty = Past(archive, lane, tasks, timeout_s=SHORT_S, wait=False)
    await hasty.history.written(customer_in(PARTITION), str(position))


async def test_what_wrote_nothing_waits_for_nothing(archive: Archive, lane: Lane, tasks: Tasks) -> None:
    past = Past(archive, lane, tasks, timeout_s=LONG_S)
    await past.history.written(customer_in(PARTITION), "")
    assert not past.nudged.is_set()
