"""Jobs come back when they are due, and only then."""

import os

from sidecar.domain.ids import PARTITIONS, new_id
from sidecar.store.jobs import Jobs
from sidecar.store.lane import Lane


async def all_due(jobs: Jobs, now_ms: int, limit: int = 10) -> list[bytes]:
    return [job for partition in range(PARTITIONS) for job in await jobs.due(partition, now_ms, limit)]


async def test_a_job_is_due_when_its_time_has_come(lane: Lane) -> None:
    jobs, customer = Jobs(lane, tenant="acme", environment="live"), new_id("cus", 1, os.urandom(10))
    for name, due_ms in ((b"b", 20), (b"a", 10), (b"c", 30)):
        await jobs.put(customer, name, due_ms)
    assert await all_due(jobs, 9) == []
    assert await all_due(jobs, 20) == [b"a", b"b"]
    assert await all_due(jobs, 99, 2) == [b"a", b"b"]
    await jobs.put(customer, b"a", 40)
    await jobs.drop(customer, b"b")
    assert await all_due(jobs, 99) == [b"c", b"a"]


async def test_each_environment_has_its_own(lane: Lane) -> None:
    customer = new_id("cus", 1, os.urandom(10))
    await Jobs(lane, tenant="acme", environment="live").put(customer, b"a", 1)
    assert await all_due(Jobs(lane, tenant="acme", environment="test"), 9) == []
