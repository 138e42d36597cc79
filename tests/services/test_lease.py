"""One worker at a time, in one process or in several."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
import redis

from sidecar.services.lease import Lease
from sidecar.store.lane import Lane
from sidecar.store.leases import Leases
from sidecar.tasks import Tasks
from tests.support.books import open_lane
from tests.support.lines import ENVIRONMENT, TENANT
from tests.support.store import StoreServer
from tests.support.until import until

TTL_S = 2.0
SHORT_S = 0.3


class Worker:
    """A process that works when it has the lease."""

    def __init__(self, lane: Lane, tasks: Tasks, ttl_s: float = TTL_S) -> None:
        self.lease = Lease(Leases(lane, tenant=TENANT, environment=ENVIRONMENT), "work", ttl_s=ttl_s)
        self.working = False
        self.begun = 0
        self.failing = asyncio.Event()
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = self._tasks.start(self.lease.run(self._work), "worker")

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _work(self) -> None:
        self.begun += 1
        self.working = True
        try:
            await self.failing.wait()
        finally:
            self.working = False
        raise ArithmeticError("as the test asked")


def outlasts(client: redis.Redis, name: bytes | str, left_ms: int) -> bool:
    return client.pttl(name) > left_ms


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.cancel()


async def test_the_second_works_when_the_first_stops(lane: Lane, tasks: Tasks) -> None:
    one, two = Worker(lane, tasks), Worker(lane, tasks)
    one.start()
    await until(lambda: one.working, "the first to work")
    two.start()
    await until(lambda: one.lease.held, "the lease to be kept")
    assert not two.working
    await one.stop()
    assert not one.working
    assert not one.lease.held
    await until(lambda: two.working, "the second to work")
    assert one.begun == two.begun == 1


async def test_it_is_kept_while_the_work_goes_on(lane: Lane, tasks: Tasks, shared_store: StoreServer) -> None:
    one, two = Worker(lane, tasks), Worker(lane, tasks)
    one.start()
    await until(lambda: one.working, "the first to work")
    two.start()
    with shared_store.client() as client:
        (name,) = client.keys("*lease*")
        for _ in range(2):
            await until(lambda: client.pttl(name) < 0.9 * TTL_S * 1000, "a part of its time to pass")
            left_ms = client.pttl(name)
            await until(partial(outlasts, client, name, left_ms), "the lease to be renewed")
    assert (one.working, one.begun, two.begun) == (True, 1, 0)


async def test_a_lease_that_is_another_s_stops_the_work(lane: Lane, tasks: Tasks, shared_store: StoreServer) -> None:
    worker = Worker(lane, tasks, SHORT_S)
    worker.start()
    await until(lambda: worker.working, "it to work")
    with shared_store.client() as client:
        (name,) = client.keys("*lease*")
        client.set(name, "another", px=60_000)
        await until(lambda: not worker.working, "it to stop")
        assert client.get(name) == b"another"
        client.delete(name)
    await until(lambda: worker.working, "it to work again")


async def test_a_store_that_stays_away_stops_the_work(store_server: StoreServer, tasks: Tasks) -> None:
    async with open_lane(store_server.url) as lane:
        worker = Worker(lane, tasks, SHORT_S)
        worker.start()
        await until(lambda: worker.working, "it to work")
        store_server.pause()
        await until(lambda: not worker.working, "it to stop, before another may have begun")
        store_server.resume()
        await until(lambda: worker.working, "it to work again")
        await tasks.cancel()


async def test_a_store_that_comes_back_in_time_does_not_matter(store_server: StoreServer, tasks: Tasks) -> None:
    async with open_lane(store_server.url) as lane:
        worker = Worker(lane, tasks, 60.0)
        worker.start()
        await until(lambda: worker.working, "it to work")
        store_server.restart()
        await until(lambda: lane.connected and lane.reconnects_total, "the connection to come back")
        assert (worker.working, worker.begun) == (True, 1)
        await tasks.cancel()


async def test_work_that_fails_begins_again(lane: Lane, tasks: Tasks, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(lane, tasks, SHORT_S)
    worker.start()
    await until(lambda: worker.working, "it to work")
    worker.failing.set()
    await until(lambda: not worker.working, "it to fail")
    worker.failing.clear()
    await until(lambda: worker.begun == 2, "it to work again")
    assert "task work failed" in caplog.text


async def test_the_work_ends_with_who_asked_for_it(store_server: StoreServer, tasks: Tasks) -> None:
    async with open_lane(store_server.url) as lane:
        worker = Worker(lane, tasks, SHORT_S)
        worker.start()
        await until(lambda: worker.working, "it to work")
        store_server.kill()
        await worker.stop()
        assert not worker.working
        store_server.start()
