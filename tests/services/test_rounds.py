"""Rounds come until they are closed, and never in the middle of one."""

import asyncio

from sidecar.services.rounds import Rounds


async def test_they_come_until_they_are_closed() -> None:
    rounds, count = Rounds(0.001), 0
    while await rounds.next():
        count += 1
        if count == 3:
            rounds.close()
    assert count == 3
    assert not await rounds.next()


async def test_who_waits_for_one_is_told_at_once() -> None:
    rounds = Rounds(3600)
    waiting = asyncio.ensure_future(rounds.next())
    await asyncio.sleep(0)
    rounds.close()
    async with asyncio.timeout(5):
        assert not await waiting
