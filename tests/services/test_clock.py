"""The clock of an environment, followed by several processes."""

import pytest

from sidecar.domain.errors import Conflict
from sidecar.services.clock import Clock, timed
from sidecar.store.clocks import Move
from sidecar.store.lane import Lane
from sidecar.store.shifted_lane import Shift
from sidecar.tasks import Tasks
from tests.support.until import until

DAY_MS = 86_400_000


def clock(lane: Lane) -> Clock:
    _, found = timed(lane, Shift(), tenant="default", environment="test")
    assert found is not None
    return found


def test_the_clock_of_live_is_the_real_one(lane: Lane) -> None:
    assert timed(lane, Shift(), tenant="default", environment="live") == (lane, None)


async def test_whoever_moves_it_sees_it_at_once_and_others_when_they_look(lane: Lane) -> None:
    one, other = clock(lane), clock(lane)
    await one.move(Move.BY, DAY_MS)
    assert (one.ahead_ms, other.ahead_ms) == (DAY_MS, 0)
    tasks = Tasks()
    tasks.start(other.run(), "clock")
    await until(lambda: other.ahead_ms == DAY_MS, "the other to look")
    await tasks.cancel()
    # An answer that was overtaken puts nobody back.
    await lane.execute("DEL", "sidecar:{0}:default/test:clock")
    await one.look()
    assert one.ahead_ms == DAY_MS


async def test_it_catches_up_and_never_goes_back(lane: Lane) -> None:
    one = clock(lane)
    await one.catch_up(one.now_ms - DAY_MS)
    assert one.ahead_ms == 0
    await one.catch_up(one.now_ms + DAY_MS)
    assert DAY_MS - 60_000 < one.ahead_ms <= DAY_MS
    with pytest.raises(Conflict):
        await one.move(Move.BY, -1)
