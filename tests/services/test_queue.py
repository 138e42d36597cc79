"""Requests that wait for holds to come back, in one process and several: in fair order, woken and never polled."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.services.hold import Hold
from sidecar.store.lane import Lane
from tests.support.books import UNIT, Purse, in_credits, open_lane, open_purse
from tests.support.processes import (
    BRIEF_MS,
    LONG_MS,
    Process,
    expected,
    held,
    in_queue,
    process,
    refused_in_flight,
)
from tests.support.sums import assert_right
from tests.support.until import until

SEEDS = 40
PATIENT_S = 30.0
"""Hundreds of commands at once may take their time on a busy machine."""


@pytest.fixture
async def purse(lane: Lane) -> AsyncIterator[Purse]:
    """1,000 base units."""
    purse = await open_purse(lane, granted=1000)
    yield purse
    await assert_right(purse)


@pytest.fixture
async def one(store_url: str, purse: Purse) -> AsyncIterator[Process]:
    async with process(store_url, purse) as made:
        yield made


@pytest.fixture
async def other(store_url: str, purse: Purse) -> AsyncIterator[Process]:
    async with process(store_url, purse) as made:
        yield made


async def test_a_request_waits_until_another_process_settles(one: Process, other: Process) -> None:
    hold = await held(one, 900)
    waiting = other.waits(500)
    await other.stands(1)
    assert (other.queue.waiting, waiting.done()) == (1, False)
    await one.settle(hold, 2)
    await other.settle(await expected(waiting), 3)
    assert await one.purse.balance() == in_credits(1000, 995, 0, 5)
    assert (other.queue.admitted_total, other.queue.in_vain_total, sum(other.queue.waited.counts)) == (1, 0, 1)


async def test_who_does_not_have_to_wait_costs_the_store_one_command(one: Process) -> None:
    before = one.lane.commands_total
    await one.settle(await held(one, 900))
    assert one.lane.commands_total - before == 2
    assert one.queue.admitted_total == 0


async def test_who_can_never_fit_is_refused_at_once(one: Process) -> None:
    await held(one, 900)
    refused = await one.take(1001)
    assert isinstance(refused, Refused)
    assert refused.code is RefusalCode.INSUFFICIENT_CREDITS


async def test_the_order_is_that_in_which_they_came(one: Process, other: Process) -> None:
    hold = await held(one, 1000)
    admitted: list[int] = []

    async def next_in_line(who: Process, number: int) -> None:
        mine = await expected(who.waits(1000 - number))
        admitted.append(number)
        await who.settle(mine)

    waiting = []
    for number in range(6):
        waiting.append(asyncio.ensure_future(next_in_line((one, other)[number % 2], number + 6)))
        await one.stands(number + 1)
    await one.settle(hold)
    await asyncio.gather(*waiting)
    assert admitted == [6, 7, 8, 9, 10, 11]


async def test_patience_ends_in_the_refusal_of_that_moment(one: Process) -> None:
    hold = await held(one, 900)
    refused = await one.take(500, BRIEF_MS)
    assert refused == Refused(RefusalCode.HOLDS_IN_FLIGHT, required=500, available=100, held=900, unit=UNIT)
    assert await in_queue(one.purse) == 0
    assert (one.queue.admitted_total, one.queue.in_vain_total) == (0, 1)
    await one.settle(hold)


async def test_the_last_try_finds_what_nobody_told_of(one: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that was lost costs time, and nothing else."""
    hold = await held(one, 900)
    deaf = asyncio.Event()
    monkeypatch.setattr(one.queue, "_heard", lambda _: deaf.set())
    waiting = one.waits(500, 1000)
    await one.stands(1)
    await one.settle(hold)
    await deaf.wait()
    await expected(waiting)


async def test_one_that_gives_up_leaves_at_once(one: Process, other: Process) -> None:
    hold = await held(one, 900)
    first = one.waits(1000)
    await one.stands(1)
    second = other.waits(100)
    await one.stands(2)
    assert one.give_up is not None
    one.give_up()
    assert refused_in_flight(await first)
    await expected(second)
    assert one.queue.in_vain_total == 1
    await one.settle(hold)


async def test_a_caller_that_is_cancelled_leaves_too(one: Process, other: Process) -> None:
    await held(one, 900)
    first = one.waits(1000)
    await one.stands(1)
    second = other.waits(100)
    await one.stands(2)
    first.cancel()
    await expected(second)


async def test_too_many_do_not_wait(store_url: str, purse: Purse) -> None:
    async with process(store_url, purse, waiting_max=1) as small:
        hold = await held(small, 900)
        first = small.waits(200)
        await small.stands(1)
        assert refused_in_flight(await small.take(200))
        await small.settle(hold)
        await expected(first)


async def test_twenty_honest_calls_are_not_denied(one: Process, other: Process) -> None:
    """Each may cost 300 of 2,500 and costs 2: eight fit at once, and who waits is served."""
    await one.purse.grant(1500)
    served: list[Process] = []

    async def call(who: Process) -> None:
        hold = await held(who, 300)
        served.append(who)
        # What is served at the same time is settled only when the eight are there.
        await until(lambda: len(served) >= 8, "eight to be served")
        await who.settle(hold, 2)

    await asyncio.gather(*(call((one, other)[number % 2]) for number in range(20)))
    assert (await one.purse.balance()).spent == 40
    hasty = await asyncio.gather(*((one, other)[number % 2].take(300, 0) for number in range(20)))
    assert sum(isinstance(each, Hold) for each in hasty) == 8


async def test_races(store_url: str) -> None:
    """Whatever the order: nobody who can be served is refused, nobody is stranded, and the books are right."""

    async def play(seed: int, lane: Lane, processes: list[Process]) -> None:
        chance = random.Random(seed)
        purse = await open_purse(lane, f"customer {seed}", 1000)
        in_flight = 0

        async def call() -> None:
            nonlocal in_flight
            who, amount = chance.choice(processes), chance.randrange(100, 600)
            mine = purse.elsewhere(who.lane)
            hold = await who.take(amount, LONG_MS, mine)
            assert isinstance(hold, Hold)
            in_flight += amount
            assert in_flight <= 1090
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            in_flight -= amount
            if chance.random() < 0.3:
                assert await who.holds.release(hold, "it failed")
            else:
                await who.settle(hold, chance.randrange(10))

        async def grants() -> None:
            for number in range(3):
                await purse.grant(30, f"key {number}")

        await asyncio.gather(grants(), *(call() for _ in range(14)))
        assert (await purse.balance()).held == 0
        assert await in_queue(purse) == 0
        await assert_right(purse)

    async with AsyncExitStack() as stack:
        lane = await stack.enter_async_context(open_lane(store_url, PATIENT_S))
        anybody = await open_purse(lane, "anybody")
        processes = [
            await stack.enter_async_context(process(store_url, anybody, timeout_s=PATIENT_S, waiting_max=1000))
            for _ in range(3)
        ]
        async with asyncio.timeout(60):
            await asyncio.gather(*(play(seed, lane, processes) for seed in range(SEEDS)))
        assert sum(each.queue.admitted_total for each in processes) > SEEDS
