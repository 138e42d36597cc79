"""Tasks are kept until they end, a failure is reported, and stopping waits for what runs."""

import asyncio
import gc

import pytest

from sidecar.tasks import Tasks


async def test_a_task_that_nobody_holds_runs_to_its_end() -> None:
    tasks = Tasks()
    go_on = asyncio.Event()
    ended = []

    async def work() -> None:
        await go_on.wait()
        ended.append(True)

    tasks.start(work(), "work")
    gc.collect()
    assert len(tasks) == 1
    go_on.set()
    assert await tasks.join(5)
    assert ended == [True]
    assert len(tasks) == 0


async def test_a_failure_is_logged_with_the_task_s_name(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    tasks = Tasks()
    tasks.start(fail(), "the failing one")
    assert await tasks.join(5)
    (record,) = caplog.records
    assert "the failing one" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


async def test_join_gives_up_in_time_and_leaves_the_task_running() -> None:
    tasks = Tasks()
    running = tasks.start(asyncio.Event().wait(), "for ever")
    assert not await tasks.join(0.01)
    assert not running.done()
    await tasks.cancel()


async def test_cancel_waits_for_the_end_and_reports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tidied = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append(True)

    tasks = Tasks()
    running = tasks.start(work(), "work")
    await asyncio.sleep(0)
    await tasks.cancel()
    assert running.cancelled()
    assert tidied == [True]
    assert caplog.records == []


async def test_nothing_to_wait_for() -> None:
    tasks = Tasks()
    assert await tasks.join(0)
    await tasks.cancel()
