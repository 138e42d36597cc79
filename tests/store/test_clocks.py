"""Where the store keeps how far a clock is ahead."""

import time

import pytest

from sidecar.domain.errors import Conflict
from sidecar.store.clocks import AHEAD_MAX_MS, Clocks, Move
from sidecar.store.lane import Lane


def clocks_of(lane: Lane, tenant: str = "default", environment: str = "test") -> Clocks:
    return Clocks(lane, tenant=tenant, environment=environment)


async def test_it_is_moved_forwards_only(lane: Lane) -> None:
    clocks = clocks_of(lane)
    assert await clocks.ahead_ms() == 0
    assert await clocks.move(Move.BY, 5_000) == 5_000
    assert await clocks.move(Move.BY, 1) == 5_001
    now_ms = time.time_ns() // 1_000_000
    ahead_ms = await clocks.move(Move.TO, now_ms + 60_000)
    assert 0 < ahead_ms <= 60_000
    for move, ms in ((Move.TO, now_ms), (Move.BY, -1)):
        with pytest.raises(Conflict, match="only forwards"):
            await clocks.move(move, ms)
    assert await clocks.ahead_ms() == ahead_ms


async def test_it_is_never_too_far_ahead(lane: Lane) -> None:
    clocks = clocks_of(lane)
    with pytest.raises(Conflict, match="ten years"):
        await clocks.move(Move.BY, AHEAD_MAX_MS + 1)
    assert await clocks.move(Move.BY, AHEAD_MAX_MS) == AHEAD_MAX_MS
    with pytest.raises(Conflict, match="ten years"):
        await clocks.move(Move.BY, 1)


async def test_each_environment_has_its_own(lane: Lane) -> None:
    await clocks_of(lane).move(Move.BY, 5_000)
    assert await clocks_of(lane, "acme").ahead_ms() == 0
    assert await clocks_of(lane, environment="live").ahead_ms() == 0
