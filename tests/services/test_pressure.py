"""New holds stop before the journals fill the store."""

import pytest

from sidecar.domain.errors import StoreError, StoreUnavailable
from sidecar.domain.ids import PARTITIONS
from sidecar.services.pressure import Pressure
from sidecar.store.journal import START, Journal
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import open_lane
from tests.support.lines import ENVIRONMENT, TENANT, customer_in, write_grants
from tests.support.store import StoreServer
from tests.support.until import until

BUSY, QUIET = 3, 60
LIMIT = 2 * PARTITIONS


@pytest.fixture
def journal(lane: Lane) -> Journal:
    return Journal(lane, tenant=TENANT, environment=ENVIRONMENT)


async def test_the_busy_ones_are_full_and_the_others_are_not(
    journal: Journal, shared_store: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    pressure = Pressure(journal, max_entries=LIMIT)
    with shared_store.client() as client:
        write_grants(client, QUIET, 1)
        written = write_grants(client, BUSY, LIMIT - 2)
        await pressure.look()
        assert (pressure.entries, pressure.full_partitions) == (LIMIT - 1, 0)
        pressure.check(customer_in(BUSY))
        written += write_grants(client, BUSY, 1, first=LIMIT)
    await pressure.look()
    await pressure.look()
    assert [partition for partition in range(PARTITIONS) if pressure.full(partition)] == [BUSY]
    assert (pressure.entries, pressure.full_partitions) == (LIMIT, 1)
    with pytest.raises(StoreUnavailable, match=r"archive is away.*taken again when the archive is back\.$"):
        pressure.check(customer_in(BUSY))
    pressure.check(customer_in(QUIET))
    await journal.advance(BUSY, START, written[0])
    await pressure.look()
    assert pressure.full_partitions == 0
    pressure.check(customer_in(BUSY))
    assert [record.levelname for record in caplog.records if record.name == "sidecar.pressure"] == ["ERROR"]


async def test_equal_ones_are_full_together(journal: Journal, shared_store: StoreServer) -> None:
    pressure = Pressure(journal, max_entries=LIMIT)
    with shared_store.client() as client:
        for partition in range(PARTITIONS):
            write_grants(client, partition, 2)
    await pressure.look()
    assert pressure.full_partitions == PARTITIONS


async def test_while_the_store_is_away_all_stays_as_it_was(store_server: StoreServer) -> None:
    tasks = Tasks()
    async with open_lane(store_server.url) as lane:
        pressure = Pressure(Journal(lane, tenant=TENANT, environment=ENVIRONMENT), max_entries=3, interval_s=0.01)
        tasks.start(pressure.run(), "pressure")
        with store_server.client() as client:
            write_grants(client, BUSY, 3)
        await until(lambda: pressure.full(BUSY), "the partition to be full")
        store_server.kill()
        await until(lambda: not lane.connected, "the connection to be lost")
        with pytest.raises(StoreError):
            await pressure.look()
        assert pressure.full(BUSY)
        store_server.start()
        await until(lambda: not pressure.full(BUSY), "the look at a store that is empty now")
        await tasks.cancel()
