"""Reads wait for what was written before them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.journal import Position
from sidecar.services.written import Written
from sidecar.store.journal import START, Journal
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import open_lane
from tests.support.lines import ENVIRONMENT, TENANT, customer_in, write_grants
from tests.support.store import StoreServer
from tests.support.until import until

PARTITION, OTHER = 3, 60
LONG_S = 60.0


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.cancel()


@pytest.fixture
def journal(lane: Lane) -> Journal:
    return Journal(lane, tenant=TENANT, environment=ENVIRONMENT)


async def test_nothing_to_wait_for(journal: Journal, tasks: Tasks) -> None:
    written = Written(journal, tasks=tasks, timeout_s=LONG_S)
    await written.archived_upto({})
    await written.archived_upto({PARTITION: START})
    await written.everything()
    await written.everything_of(customer_in(PARTITION))
    assert len(tasks) == 0


async def test_the_archiver_of_this_process_says_it_at_once(journal: Journal, tasks: Tasks) -> None:
    nudges: list[None] = []
    written = Written(journal, tasks=tasks, timeout_s=LONG_S, nudge=lambda: nudges.append(None))
    waiting = tasks.start(written.archived_upto({PARTITION: Position(5, 1), OTHER: Position(6, 0)}), "reader")
    await until(lambda: nudges, "the archiver to be called")
    written.passed(PARTITION, Position(5, 0))
    written.passed(OTHER, Position(7, 0))
    written.passed(PARTITION, Position(4, 0))
    await asyncio.sleep(0)
    assert not waiting.done()
    written.passed(PARTITION, Position(5, 1))
    await waiting
    await written.archived_upto({PARTITION: Position(5, 1)})
    assert len(nudges) == 1


async def test_another_process_is_seen_by_its_marks(lane: Lane, journal: Journal, shared_store: StoreServer) -> None:
    tasks = Tasks()
    written = Written(journal, tasks=tasks, timeout_s=LONG_S)
    with shared_store.client() as client:
        tail = write_grants(client, PARTITION, 3)[-1]
    waiting = [tasks.start(written.everything_of(customer_in(PARTITION)), "reader") for _ in range(20)]
    waiting.append(tasks.start(written.everything(), "reader of all"))
    await until(lambda: len(tasks) == len(waiting) + 1, "one look for all")
    async with open_lane(shared_store.url) as another:
        await Journal(another, tenant=TENANT, environment=ENVIRONMENT).advance(PARTITION, START, tail)
    await asyncio.gather(*waiting)
    await until(lambda: len(tasks) == 0, "the looking to end")


async def test_when_the_worker_is_dead_this_process_archives(
    journal: Journal, tasks: Tasks, shared_store: StoreServer
) -> None:
    with shared_store.client() as client:
        tail = write_grants(client, PARTITION, 3)[-1]

    async def assist() -> None:
        await journal.advance(PARTITION, START, tail)

    await Written(journal, tasks=tasks, timeout_s=LONG_S, assist=assist).everything_of(customer_in(PARTITION))


async def test_it_gives_up_in_time_and_says_what_to_do(journal: Journal, tasks: Tasks) -> None:
    written = Written(journal, tasks=tasks, timeout_s=0.05)
    for _ in range(2):
        with pytest.raises(ArchiveUnavailable, match=r"within 0\.05 s.*same Idempotency-Key\.$"):
            await written.archived_upto({PARTITION: Position(5, 1)})
    await until(lambda: len(tasks) == 0, "the looking to end")


async def test_a_reader_that_leaves_takes_nobody_along(journal: Journal, tasks: Tasks) -> None:
    written = Written(journal, tasks=tasks, timeout_s=LONG_S)
    one, two = (tasks.start(written.archived_upto({PARTITION: Position(5, 1)}), "reader") for _ in range(2))
    await until(lambda: len(tasks) == 3, "both to wait")
    one.cancel()
    await asyncio.wait((one,))
    written.passed(PARTITION, Position(5, 1))
    await two


async def test_a_store_that_comes_back_in_time_does_not_matter(store_server: StoreServer, tasks: Tasks) -> None:
    async with open_lane(store_server.url) as lane:
        journal = Journal(lane, tenant=TENANT, environment=ENVIRONMENT)
        written = Written(journal, tasks=tasks, timeout_s=LONG_S)
        waiting = tasks.start(written.archived_upto({PARTITION: Position(5, 1)}), "reader")
        await until(lambda: len(tasks) == 2, "it to look")
        store_server.restart()
        await until(lambda: lane.reconnects_total and lane.connected, "the connection to come back")
        await journal.advance(PARTITION, START, Position(5, 1))
        await waiting
        await tasks.cancel()
