"""Waiting while processes die, connections break, and the store is restarted: nobody is stranded."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sidecar.domain.errors import StoreTimeout
from sidecar.domain.outcomes import Settled
from sidecar.services.hold import Hold
from sidecar.store.commands import RESERVE
from sidecar.store.lane import Lane
from tests.support.books import Purse, open_lane, open_purse
from tests.support.cluster import Cluster
from tests.support.processes import BRIEF_MS, LONG_MS, Process, expected, held, process, refused_in_flight
from tests.support.relay import Relay, serving
from tests.support.store import StoreServer
from tests.support.sums import assert_right
from tests.support.until import until, until_async


@pytest.fixture
async def purse(lane: Lane) -> Purse:
    """1,000 base units."""
    return await open_purse(lane, granted=1000)


@pytest.fixture
async def one(store_url: str, purse: Purse) -> AsyncIterator[Process]:
    async with process(store_url, purse) as made:
        yield made


@pytest.fixture
async def other(store_url: str, purse: Purse) -> AsyncIterator[Process]:
    async with process(store_url, purse) as made:
        yield made


async def test_a_process_that_dies_holds_nobody_up(store_url: str, one: Process, purse: Purse) -> None:
    hold = await held(one, 900)
    async with open_lane(store_url) as lane:
        dying = Process(lane, purse)
        lost = [dying.waits(500), dying.waits(600)]
        await one.stands(2)
        waiting = one.waits(700)
        await one.stands(3)
        # Its connections break, and it never says a word again.
        await lane.close()
        assert dying.queue._listener is not None
        dying.queue._listener.cancel()
        await until_async(lambda: nobody_hears(one.lane, dying), "the channel to be silent")
        await one.settle(hold)
        await expected(waiting)
        for task in lost:
            task.cancel()
        await dying.tasks.cancel()
        await asyncio.gather(*lost, return_exceptions=True)


async def nobody_hears(lane: Lane, who: Process) -> bool:
    reply = await lane.execute("PUBSUB", "NUMSUB", f"sidecar:woken:{who.queue.process}")
    return bool(reply[1] == 0)


async def test_a_broken_subscription_strands_nobody(shared_store: StoreServer, one: Process, other: Process) -> None:
    hold = await held(one, 900)
    waiting = [one.waits(600), other.waits(200)]
    await one.stands(2)
    with shared_store.client() as client:
        client.client_kill_filter(_type="pubsub")
    await one.settle(hold)
    for task in waiting:
        await expected(task)


async def test_a_store_that_is_restarted_strands_nobody() -> None:
    server = StoreServer("--appendfsync", "always", append_only=True)
    server.start()
    try:
        async with open_lane(server.url) as lane:
            purse = await open_purse(lane, granted=1000)
            async with process(server.url, purse, timeout_s=0.3) as one:
                hold = await held(one, 900)
                waiting = [one.waits(600), one.waits(300)]
                await one.stands(2)
                server.kill()
                await until(lambda: not one.lane.connected, "the connection to break")
                server.start()
                await until(lambda: one.lane.connected, "the connection to be back")
                await one.settle(hold)
                for task in waiting:
                    await expected(task)
    finally:
        server.remove()


async def test_a_lost_reply_strands_nobody(store_server: StoreServer) -> None:
    """The hold was taken and nobody knows: the next try is a repetition."""
    relay = Relay(store_server.socket)
    async with serving(relay) as port, open_lane(store_server.url) as lane:
        purse = await open_purse(lane, granted=1000)
        async with process(f"redis://127.0.0.1:{port}", purse) as one:
            hold = await held(one, 900)
            waiting = one.waits(500)
            await one.stands(1)
            relay.lose_reply_to = RESERVE.sha
            await lane.execute("PING")
            assert isinstance(await purse.ledger.commit(hold.record, 1, "", "reported"), Settled)
            await expected(waiting)
            assert relay.lost_total == 1
            assert (await purse.balance()).held == 500


async def test_who_may_not_listen_is_told_so_and_waits_in_vain(
    store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    with store_server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", "-subscribe")  # type: ignore[no-untyped-call]  # redis-py left it without types.
    async with open_lane(store_server.url) as lane:
        purse = await open_purse(lane, granted=1000)
        async with process(store_server.url, purse) as one:
            hold = await held(one, 900)
            assert refused_in_flight(await one.take(500, BRIEF_MS))
            await until(lambda: "+subscribe" in caplog.text, "the log to say why")
            await one.settle(hold)


async def test_the_documented_user_may_wait(store_server: StoreServer) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (command,) = re.findall(r"^ACL SETUSER sidecar on >… (.*)$", page, re.MULTILINE)
    with store_server.client() as client:
        client.execute_command("ACL", "SETUSER", "sidecar", "on", ">word", *command.split())  # type: ignore[no-untyped-call]  # redis-py left it without types.
    async with serving(Relay(store_server.socket)) as port:
        url = f"redis://sidecar:word@127.0.0.1:{port}"
        async with open_lane(url) as lane:
            purse = await open_purse(lane, granted=1000)
            async with process(url, purse) as one:
                hold = await held(one, 900)
                waiting = one.waits(500)
                await one.stands(1)
                await one.settle(hold)
                await one.settle(await expected(waiting))
            assert await purse.sweep() == 0
            await assert_right(purse)


async def test_who_may_not_publish_settles_all_the_same(store_server: StoreServer) -> None:
    async with open_lane(store_server.url) as lane:
        purse = await open_purse(lane, granted=1000)
        async with process(store_server.url, purse) as one:
            hold = await held(one, 900)
            waiting = one.waits(500, 1000)
            await one.stands(1)
            await lane.execute("ACL", "SETUSER", "default", "-publish")
            await one.settle(hold, 20)
            await expected(waiting)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


async def test_in_a_cluster(cluster: Cluster) -> None:
    """Customers on every node; each process listens at one of them."""
    async with AsyncExitStack() as stack:
        lane = await stack.enter_async_context(open_lane(cluster.url))
        purses = [await open_purse(lane, f"customer {number}", 1000) for number in range(9)]
        processes = [await stack.enter_async_context(process(cluster.url, purses[0])) for _ in range(2)]
        outcomes: Counter[type] = Counter()

        async def call(number: int) -> None:
            who, purse = processes[number % 2], purses[number % 9]
            hold = await who.take(600, LONG_MS, purse.elsewhere(who.lane))
            outcomes[type(hold)] += 1
            if isinstance(hold, Hold):
                await who.settle(hold)

        async with asyncio.timeout(30):
            await asyncio.gather(*map(call, range(72)))
        assert outcomes == {Hold: 72}
        assert sum(each.queue.admitted_total for each in processes) > 9
        for purse in purses:
            await assert_right(purse)


async def test_what_the_store_cannot_do_at_the_end_is_an_error(store_server: StoreServer) -> None:
    async with open_lane(store_server.url, 0.2) as lane:
        purse = await open_purse(lane, granted=1000)
        made = Process(lane, purse)
        hold = await made.take(900)
        assert isinstance(hold, Hold)
        waiting = made.waits(500, 300)
        await made.stands(1)
        store_server.kill()
        with pytest.raises(StoreTimeout):
            await waiting
        await made.tasks.cancel()
