"""The circuit opens after timeouts in a row, lets nobody wait meanwhile, and closes by itself."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sidecar.domain.errors import StoreCorrupt, StoreTimeout, StoreUnavailable
from sidecar.domain.outcomes import Refused, Settled
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import TIMEOUTS_MAX, Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import UNIT, Purse, open_lane, open_purse
from tests.support.store import StoreServer
from tests.support.until import until

TIMEOUT_S = 0.1
LATE = StoreTimeout("It is late.")


@pytest.fixture
async def slow_lane(store_server: StoreServer) -> AsyncIterator[Lane]:
    async with open_lane(store_server.url, TIMEOUT_S) as lane:
        yield lane


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    tasks = Tasks()
    yield tasks
    await tasks.cancel()


@pytest.fixture
def outage(slow_lane: Lane, tasks: Tasks) -> Outage:
    return Outage(slow_lane, tasks)


@pytest.fixture
async def purse(slow_lane: Lane) -> Purse:
    return await open_purse(slow_lane, granted=1000)


@pytest.fixture
def holds(slow_lane: Lane, purse: Purse, outage: Outage, tasks: Tasks) -> Holds:
    queue = Queue(slow_lane, purse.ledger, waiting_max=10, account_max=5, tasks=tasks)
    pressure = Pressure(purse.journal, max_entries=1_000_000)
    return Holds(purse.ledger, pressure, queue, outage, ttl_s=60, timeout_s=TIMEOUT_S, tasks=tasks)


async def take(holds: Holds, purse: Purse) -> Hold | Refused:
    return await holds.take(purse.customer_id, purse.credential, UNIT, 100, "", "a-rule")


async def ask(outage: Outage, lane: Lane) -> None:
    with outage:
        await lane.execute("PING")


async def test_timeouts_in_a_row_open_it_and_a_probe_closes_it(
    outage: Outage, slow_lane: Lane, store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "sidecar.store")
    store_server.pause()
    for _ in range(TIMEOUTS_MAX):
        assert not outage.open
        with pytest.raises(StoreTimeout):
            await ask(outage, slow_lane)
    assert (outage.open, outage.opened_total) == (True, 1)
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await ask(outage, slow_lane)
    store_server.resume()
    await until(lambda: not outage.open, "the probe")
    await ask(outage, slow_lane)
    switches = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert [switch for switch in switches if "circuit" in switch] == ["store.circuit_opened", "store.circuit_closed"]


async def test_one_probe_at_a_time_goes_out(outage: Outage, slow_lane: Lane, store_server: StoreServer) -> None:
    store_server.pause()
    for _ in range(TIMEOUTS_MAX):
        outage.noticed(LATE)
    sent = slow_lane.commands_total
    for _ in range(100):
        with pytest.raises(StoreUnavailable):
            await ask(outage, slow_lane)
        outage.noticed(LATE)
    assert slow_lane.commands_total == sent
    await until(lambda: slow_lane.timeouts_total > 1, "two probes in vain")
    assert slow_lane.waiting == slow_lane.timeouts_total
    assert (outage.open, outage.opened_total) == (True, 1)
    store_server.resume()
    await until(lambda: not outage.open, "the probe")


async def test_any_answer_between_them_begins_the_row_anew(outage: Outage, slow_lane: Lane) -> None:
    for _ in range(3 * TIMEOUTS_MAX):
        outage.noticed(LATE)
        await slow_lane.execute("PING")
    assert not outage.open


async def test_what_fails_at_once_does_not_count(outage: Outage) -> None:
    for error in (StoreUnavailable("away"), StoreCorrupt("odd"), asyncio.CancelledError(), None) * TIMEOUTS_MAX:
        outage.noticed(error)
    assert not outage.open


async def test_it_waits_for_a_store_that_is_gone(outage: Outage, slow_lane: Lane, store_server: StoreServer) -> None:
    store_server.kill()
    for _ in range(TIMEOUTS_MAX):
        outage.noticed(LATE)
    await until(lambda: not slow_lane.connected, "the loss of the connection")
    assert outage.open
    store_server.start()
    await until(lambda: not outage.open, "the probe")
    assert slow_lane.connected


async def test_holds_are_refused_at_once_and_settlements_arrive(
    outage: Outage, holds: Holds, purse: Purse, slow_lane: Lane, store_server: StoreServer
) -> None:
    hold = await take(holds, purse)
    assert isinstance(hold, Hold)
    store_server.pause()
    taken = await asyncio.gather(*(take(holds, purse) for _ in range(TIMEOUTS_MAX)), return_exceptions=True)
    assert {type(outcome) for outcome in taken} == {StoreTimeout}
    assert outage.open
    late = slow_lane.timeouts_total
    with pytest.raises(StoreUnavailable):
        await take(holds, purse)
    assert await holds.commit(hold, 40, "", "reported") is None
    assert slow_lane.timeouts_total == late
    assert holds.settling.pending == TIMEOUTS_MAX + 1
    store_server.resume()
    await until(lambda: holds.settling.pending == 0, "the settlements")
    await until(lambda: not outage.open, "the probe")
    balance = await purse.balance()
    assert (balance.available, balance.held, balance.spent) == (960, 0, 40)
    again = await take(holds, purse)
    assert isinstance(again, Hold)
    assert await holds.release(again, "it failed") == Settled(0, 960)


async def test_settlements_that_time_out_open_it_too(
    outage: Outage, holds: Holds, purse: Purse, store_server: StoreServer
) -> None:
    held = [await take(holds, purse) for _ in range(TIMEOUTS_MAX)]
    store_server.pause()
    for hold in held:
        assert isinstance(hold, Hold)
        assert not outage.open
        assert await holds.commit(hold, 40, "", "reported") is None
    assert outage.open
    store_server.resume()
    await until(lambda: holds.settling.pending == 0, "the settlements")
    assert (await purse.balance()).spent == TIMEOUTS_MAX * 40
