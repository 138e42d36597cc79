"""The connection to the store: what it packs, what it promises when the store dies, freezes or forgets."""

import asyncio

import pytest

from sidecar.domain.errors import StoreCorrupt, StoreError, StoreTimeout, StoreUnavailable
from sidecar.store import wire
from sidecar.store.address import parse_address
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from tests.support.books import open_lane, open_purse
from tests.support.store import StoreServer
from tests.support.until import until, until_async


async def answers(lane: Lane) -> bool:
    """A command comes back with its own reply."""
    try:
        return bool(await lane.execute("ECHO", "here") == b"here")
    except StoreError:
        return False


async def all_fail_as(error: type[StoreError], futures: list[asyncio.Future[object]]) -> None:
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {error}


async def test_the_commands_of_one_tick_leave_in_one_write(lane: Lane) -> None:
    commands, flushes = lane.commands_total, lane.flushes_total
    replies = await asyncio.gather(*(lane.execute("ECHO", str(number)) for number in range(500)))
    assert replies == [b"%d" % number for number in range(500)]
    assert (lane.commands_total - commands, lane.flushes_total - flushes) == (500, 1)
    assert lane.waiting == 0


async def test_a_cancelled_command_does_not_shift_the_replies(lane: Lane) -> None:
    first, second, third = (lane.execute("ECHO", text) for text in "abc")
    second.cancel()
    assert (await first, await third) == (b"a", b"c")
    assert await lane.execute("ECHO", "d") == b"d"


async def test_the_server_knows_our_name_and_database(lane: Lane, store_url: str) -> None:
    assert b"entitlement-sidecar" in await lane.execute("CLIENT", "GETNAME")
    async with open_lane(f"{store_url}?db=3") as other:
        assert b" db=3 " in await other.execute("CLIENT", "INFO")


async def test_scripts_that_the_server_forgot_are_sent_again(lane: Lane) -> None:
    purse = await open_purse(lane, granted=1000)
    await lane.execute("SCRIPT", "FLUSH")
    outcomes = await asyncio.gather(*(purse.reserve(f"r{number}", 10) for number in range(20)))
    assert sorted(getattr(outcome, "available", -1) for outcome in outcomes) == list(range(800, 1000, 10))
    assert (await purse.balance()).held == 200


class TestErrorReplies:
    async def test_a_wrong_type_is_corrupt(self, lane: Lane) -> None:
        await lane.execute("SET", "k", "v")
        with pytest.raises(StoreCorrupt, match="WRONGTYPE"):
            await lane.execute("HGETALL", "k")
        assert await answers(lane)

    async def test_a_full_store_is_unavailable_and_changes_nothing(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url) as lane:
            purse = await open_purse(lane, granted=1000)
            await lane.execute("CONFIG", "SET", "maxmemory", 1)
            with pytest.raises(StoreUnavailable, match="OOM"):
                await purse.reserve("r1", 10)
            await lane.execute("CONFIG", "SET", "maxmemory", 0)
            assert (await purse.balance()).available == 1000

    async def test_a_demoted_primary_is_left(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url) as lane:
            purse = await open_purse(lane, granted=1000)
            await lane.execute("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(StoreUnavailable, match="READONLY"):
                await purse.reserve("r1", 10)
            await until(lambda: lane.reconnects_total == 1, "a new connection")


class TestDeath:
    async def test_what_was_sent_is_unknown_and_what_comes_after_is_refused(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url) as lane:
            store_server.pause()
            sent = [lane.execute("ECHO", "x") for _ in range(10)]
            await asyncio.sleep(0)
            store_server.kill()
            await all_fail_as(StoreTimeout, sent)
            assert not lane.connected
            with pytest.raises(StoreUnavailable):
                await lane.execute("ECHO", "x")

    async def test_what_was_not_sent_had_no_effect(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url) as lane:
            unsent = [lane.execute("SET", "k", "v") for _ in range(3)]
            await lane.close()
            await all_fail_as(StoreUnavailable, unsent)
        with store_server.client() as client:
            assert client.get("k") is None

    async def test_it_comes_back_by_itself_with_the_scripts(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url) as lane:
            for times in (1, 2):
                store_server.restart()
                await until(lambda times=times: lane.reconnects_total == times, "a new connection")  # type: ignore[misc]  # A loop variable.
                purse = await open_purse(lane, granted=100)
                await purse.reserve("r1", 10)
                assert (await purse.balance()).held == 10


class TestFreeze:
    async def test_late_replies_are_dropped_and_the_rest_stay_paired(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url, timeout_s=0.2) as lane:
            store_server.pause()
            await all_fail_as(StoreTimeout, [lane.execute("ECHO", str(number)) for number in range(10)])
            assert lane.timeouts_total == 10
            store_server.resume()
            assert await lane.execute("ECHO", "after") == b"after"
            assert lane.reconnects_total == 0

    async def test_a_connection_that_stays_stuck_is_replaced(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url, timeout_s=0.05) as lane:
            store_server.pause()
            stuck = [lane.execute("ECHO", "x")]
            await all_fail_as(StoreTimeout, stuck)
            await until(lambda: not lane.connected, "the connection to be given up")
            store_server.resume()
            await until_async(lambda: answers(lane), "a new connection")
            assert lane.reconnects_total == 1

    async def test_waiting_commands_are_bounded(
        self, store_server: StoreServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_lane(store_server.url) as lane:
            monkeypatch.setattr(wire, "WAITERS_MAX", 3)
            store_server.pause()
            waiting = [lane.execute("ECHO", "x") for _ in range(3)]
            with pytest.raises(StoreUnavailable, match="3 commands wait"):
                await lane.execute("ECHO", "x")
            store_server.resume()
            assert await asyncio.gather(*waiting) == [b"x"] * 3


async def test_the_first_connection_must_succeed(store_server: StoreServer) -> None:
    store_server.kill()
    lane = make_lane(parse_address(store_server.url))
    with pytest.raises(StoreUnavailable, match=r"Cannot reach the store at unix://\S+: "):
        await lane.open()
    assert not lane.connected
    await lane.close()


async def test_closing_fails_what_still_waits(store_server: StoreServer) -> None:
    async with open_lane(store_server.url) as lane:
        store_server.pause()
        waiting = [lane.execute("ECHO", "x")]
        await asyncio.sleep(0)
        await lane.close()
        await all_fail_as(StoreTimeout, waiting)
        with pytest.raises(StoreUnavailable):
            await lane.execute("ECHO", "x")
