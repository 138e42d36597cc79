"""Replies: handed over at once to who drives a coroutine by hand, in a turn of the loop to a Task."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sidecar.domain.errors import StoreTimeout
from sidecar.store.commands import pack
from sidecar.store.lane import Lane
from sidecar.store.reply import Reply
from sidecar.tasks import Tasks
from tests.support.books import open_lane
from tests.support.store import StoreServer
from tests.support.until import until


class Driver:
    """Drives a coroutine as an exchange does; `outcome` is what it returned, or the exception that it ended with."""

    def __init__(self, story: Coroutine[Any, Any, Any]) -> None:
        self.story = story
        self.outcome: object = None
        self.step()

    def step(self, _done: object = None) -> None:
        try:
            awaited = self.story.send(None)
        except StopIteration as end:
            self.outcome = end.value
        except StoreTimeout as error:
            self.outcome = error
        else:
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self.step)


async def twice(reply: Reply[int]) -> int:
    return 2 * await reply


def test_who_drives_by_hand_goes_on_at_once() -> None:
    reply = Reply[int](int)
    driver = Driver(twice(reply))
    assert driver.outcome is None
    reply.set_result(b"21")
    assert driver.outcome == 42


def test_an_error_arrives_at_once_too() -> None:
    reply = Reply[int](int)
    driver = Driver(twice(reply))
    reply.set_exception(StoreTimeout("late"))
    assert isinstance(driver.outcome, StoreTimeout)


def test_a_reply_that_is_here_is_not_waited_for() -> None:
    reply = Reply[int](int)
    reply.set_result(b"21")
    assert Driver(twice(reply)).outcome == 42


def test_whoever_fails_after_a_reply_does_not_fail_the_wire(caplog: pytest.LogCaptureFixture) -> None:
    reply = Reply[int](int)
    Driver(twice(reply))
    reply.set_result(b"x")
    assert "what followed a reply failed" in caplog.text


async def test_a_task_goes_on_in_its_own_turn() -> None:
    reply = Reply[int](int)
    task = Tasks().start(twice(reply), "twice")
    await asyncio.sleep(0)
    reply.set_result(b"21")
    assert not task.done()
    assert await task == 42


async def test_a_task_can_end_another_s_reply() -> None:
    """As when one closes the lane while another waits: a Task is not entered from within a Task."""
    reply = Reply[int](int)
    task = Tasks().start(twice(reply), "twice")
    await asyncio.sleep(0)
    reply.set_exception(StoreTimeout("late"))
    with pytest.raises(StoreTimeout, match="late"):
        await task


async def test_a_cancelled_task_drops_the_reply(lane: Lane) -> None:
    reply = lane.ask(pack("ECHO", 21), int)
    task = Tasks().start(twice(reply), "twice")
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await lane.execute("ECHO", "after") == b"after"
    assert reply.done()
    assert not reply.cancel()


async def test_who_is_told_may_send_again_at_once(lane: Lane) -> None:
    """From inside the wire's loop over its replies."""

    async def story() -> list[int]:
        return [await lane.ask(pack("ECHO", number), int) for number in range(3)]

    drivers = [Driver(story()) for _ in range(50)]
    await until(lambda: all(driver.outcome for driver in drivers), "all replies")
    assert {str(driver.outcome) for driver in drivers} == {"[0, 1, 2]"}


async def test_who_is_told_of_a_timeout_may_send_again_at_once(store_server: StoreServer) -> None:
    async with open_lane(store_server.url, timeout_s=0.1) as lane:

        async def story() -> bytes:
            try:
                return await lane.ask(pack("ECHO", "first"), bytes)
            except StoreTimeout:
                return await lane.ask(pack("ECHO", "second"), bytes)

        store_server.pause()
        drivers = [Driver(story()) for _ in range(3)]
        await until(lambda: lane.waiting == 6, "all to send again")
        assert lane.timeouts_total == 3
        store_server.resume()
        await until(lambda: all(driver.outcome for driver in drivers), "the replies")
        assert [driver.outcome for driver in drivers] == [b"second"] * 3
