"""Overdue holds come back, whoever held them."""

import asyncio

from sidecar.services.sweeper import BATCH, Sweeper
from sidecar.tasks import Tasks
from tests.support.books import Purse, open_lane, open_purse
from tests.support.store import StoreServer
from tests.support.until import until, until_async


async def all_expired(purse: Purse, sweepers: list[Sweeper], count: int) -> None:
    async def swept() -> bool:
        await asyncio.gather(*(sweeper.sweep() for sweeper in sweepers))
        return sum(sweeper.expired_total for sweeper in sweepers) == count

    await until_async(swept, f"{count} holds to expire")
    assert (await purse.balance()).held == 0


async def test_more_than_a_batch_comes_back_in_one_sweep(store_url: str) -> None:
    async with open_lane(store_url) as lane:
        purse = await open_purse(lane, granted=10_000)
        count = 2 * BATCH + 7
        await asyncio.gather(*(purse.reserve(f"r{number}", 3, ttl_ms=1) for number in range(count)))
        await all_expired(purse, [Sweeper(purse.ledger, interval_s=1.0)], count)
        assert (await purse.balance()).available == 10_000


async def test_two_sweepers_expire_each_hold_once(store_url: str) -> None:
    async with open_lane(store_url) as one, open_lane(store_url) as two:
        purses = [await open_purse(lane) for lane in (one, two)]
        await purses[0].grant(1000, "opening")
        await asyncio.gather(*(purses[0].reserve(f"r{number}", 3, ttl_ms=1) for number in range(50)))
        await all_expired(purses[0], [Sweeper(purse.ledger, interval_s=1.0) for purse in purses], 50)


async def test_it_survives_a_store_that_is_away(store_server: StoreServer) -> None:
    tasks = Tasks()
    async with open_lane(store_server.url) as lane:
        sweeper = Sweeper((await open_purse(lane)).ledger, interval_s=0.01, grace_s=0.01)
        tasks.start(sweeper.run(), "sweeper")
        await until(lambda: sweeper.sweeps_total, "a sweep")
        store_server.restart()
        await until(lambda: sweeper.failures_total, "a sweep that fails")
        await until(lambda: lane.connected, "the connection to come back")
        purse = await open_purse(lane, granted=100)
        await purse.reserve("r1", 5, ttl_ms=1)
        await until(lambda: sweeper.expired_total == 1, "the hold to expire")
        await tasks.cancel()


async def test_who_held_something_while_the_store_was_away_has_time_to_say_so(store_server: StoreServer) -> None:
    tasks = Tasks()
    async with open_lane(store_server.url, timeout_s=1.0) as lane:
        purse = await open_purse(lane, granted=100)
        await purse.reserve("r1", 5, ttl_ms=1)
        sweeper = Sweeper(purse.ledger, interval_s=0.01, grace_s=1.0)
        tasks.start(sweeper.run(), "sweeper")
        for _ in range(2):
            store_server.pause()
            await until(lambda: sweeper.failures_total, "a sweep that fails")
            store_server.resume()
            await purse.resize("r1", 5, ttl_ms=1)
            assert sweeper.expired_total == 0
            sweeper.failures_total = 0
        await until(lambda: sweeper.expired_total == 1, "the hold to expire all the same")
        await tasks.cancel()


async def test_as_many_damaged_payers_as_a_batch_do_not_keep_it_busy(store_url: str) -> None:
    """The sweep ends, and it has been everybody's turn."""
    async with open_lane(store_url) as lane:
        purse = await open_purse(lane, granted=100)
        await purse.reserve("r1", 5, ttl_ms=1)
        for number in range(BATCH + 1):
            await lane.execute("ZADD", purse.keys.of(purse.customer_id).due, 1, f"nobody {number}")
        sweeper = Sweeper(purse.ledger, interval_s=1.0)
        await all_expired(purse, [sweeper], 1)
        assert purse.ledger.corrupt_total == BATCH + 1
