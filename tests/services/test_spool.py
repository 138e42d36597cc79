"""Charges that the store does not acknowledge outlive their process, and are charged once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.domain.counted_quotes import Claims
from sidecar.domain.counters import Stand
from sidecar.domain.outcomes import Overrun
from sidecar.services import spool as spool_module
from sidecar.services.charges import Charge, deliver
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.services.spool import Spool
from sidecar.spool.file import MAGIC
from sidecar.store.lane import Lane
from sidecar.store.ledger import Ledger
from sidecar.tasks import Tasks
from tests.domain.test_tokens import signer
from tests.services.test_counting import quote, stand
from tests.support.books import UNIT, Purse, open_lane, open_purse
from tests.support.store import StoreServer
from tests.support.until import until

TIMEOUT_S = 0.3
MAX = 1_000_000


class Process:
    """One process with a spool; it can die in two ways."""

    def __init__(self, lane: Lane, purse: Purse, folder: Path, max_bytes: int = MAX) -> None:
        self.purse = purse.elsewhere(lane)
        self.tasks = Tasks()
        self.spool = Spool(folder, max_bytes=max_bytes, tasks=self.tasks, signer=signer())
        queue = Queue(lane, self.purse.ledger, waiting_max=10, account_max=5, tasks=self.tasks)
        self.holds = Holds(
            self.purse.ledger, Pressure(self.purse.journal, max_entries=MAX), queue, Outage(lane, self.tasks),
            ttl_s=60, timeout_s=TIMEOUT_S, tasks=self.tasks, spool=self.spool,
        )  # fmt: skip

    def run(self) -> None:
        self.tasks.start(self.spool.run(self.purse.ledger), "spool")

    async def take(self) -> Hold:
        hold = await self.holds.take(self.purse.customer_id, self.purse.credential, UNIT, 50, "", "a-rule")
        assert isinstance(hold, Hold)
        return hold

    async def commit(self, hold: Hold, charge: int = 30) -> None:
        assert await self.holds.commit(hold, charge, "input_tokens=1", "reported") is None

    async def end(self) -> None:
        await self.tasks.cancel()
        self.spool.close()


@pytest.fixture
async def lane(durable: StoreServer) -> AsyncIterator[Lane]:
    async with open_lane(durable.url, TIMEOUT_S) as lane:
        yield lane


@pytest.fixture
async def purse(lane: Lane, durable: StoreServer) -> Purse:
    # A store that has just started may take longer than this lane waits.
    async with open_lane(durable.url) as patient:
        return (await open_purse(patient, granted=1000)).elsewhere(lane)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def books(purse: Purse) -> tuple[int, int, int]:
    balance = await purse.balance()
    return balance.available, balance.held, balance.spent


async def leave(durable: StoreServer, lane: Lane, purse: Purse, folder: Path, count: int) -> Process:
    """A process that has ended while the store was away, with so many charges not delivered."""
    process = Process(lane, purse, folder)
    held = [await process.take() for _ in range(count)]
    durable.kill()
    await until(lambda: not lane.connected, "the loss of the store")
    for hold in held:
        await process.commit(hold)
    await until(lambda: process.spool.records == count, "the charges to be kept")
    await process.end()
    durable.start()
    await until(lambda: lane.connected, "the store")
    return process


async def test_what_goes_well_never_touches_the_disk(lane: Lane, purse: Purse, tmp_path: Path) -> None:
    process = Process(lane, purse, tmp_path / "spool")
    process.run()
    assert await process.holds.commit(await process.take(), 30, "", "reported")
    await process.holds.release(await process.take(), "it failed")
    await process.end()
    assert not files(tmp_path)


async def test_what_arrives_after_all_is_forgotten(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
) -> None:
    process = Process(lane, purse, tmp_path)
    charged, released = await process.take(), await process.take()
    durable.pause()
    await process.commit(charged)
    await process.holds.release(released, "it failed")
    await until(lambda: process.spool.records, "the charge to be kept")
    (file,) = files(tmp_path)
    durable.resume()
    await until(lambda: process.holds.settling.pending == 0, "the settlements")
    assert process.spool.records == 0
    assert file.read_bytes() == MAGIC
    await process.end()
    assert not files(tmp_path)
    assert await books(purse) == (970, 0, 30)


async def test_the_next_process_delivers_what_one_left(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
) -> None:
    await leave(durable, lane, purse, tmp_path, 3)
    assert await books(purse) == (850, 150, 0)
    heir = Process(lane, purse, tmp_path)
    heir.run()
    await until(lambda: heir.spool.replayed_total == 3, "the charges")
    await until(lambda: not files(tmp_path), "the file to be deleted")
    assert (heir.spool.records, heir.spool.unknown_total) == (0, 0)
    assert await books(purse) == (910, 0, 90)
    await heir.end()


async def test_two_processes_deliver_each_once(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
) -> None:
    for _ in range(3):
        await leave(durable, lane, purse, tmp_path, 4)
    heirs = [Process(lane, purse, tmp_path) for _ in range(2)]
    for heir in heirs:
        heir.run()
    await until(lambda: sum(heir.spool.replayed_total for heir in heirs) == 12, "the charges")
    await until(lambda: not files(tmp_path), "the files to be deleted")
    assert [heir.spool.unknown_total for heir in heirs] == [0, 0]
    assert await books(purse) == (640, 0, 360)
    for heir in heirs:
        await heir.end()


async def test_a_second_delivery_has_no_effect(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when an heir dies after a delivery, before it could mark it as done: its own heir delivers again."""
    await leave(durable, lane, purse, tmp_path, 2)
    (file,) = files(tmp_path)
    before = []

    async def looked_at(charge: Charge, ledger: Ledger) -> object:
        before.append(file.read_bytes())
        return await deliver(charge, ledger)

    monkeypatch.setattr("sidecar.services.spool.deliver", looked_at)
    first = Process(lane, purse, tmp_path)
    first.run()
    await until(lambda: first.spool.replayed_total == 2, "the charges")
    await until(lambda: not files(tmp_path), "the file to be deleted")
    await first.end()
    file.write_bytes(before.pop())
    second = Process(lane, purse, tmp_path)
    second.run()
    await until(lambda: second.spool.replayed_total == 1, "the last charge")
    assert second.spool.recovered_total == 0
    assert await books(purse) == (940, 0, 60)
    await second.end()


async def test_it_waits_for_the_store_and_drops_a_torn_record(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await leave(durable, lane, purse, tmp_path, 2)
    (file,) = files(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    durable.kill()
    await until(lambda: not lane.connected, "the loss of the store")
    heir = Process(lane, purse, tmp_path)
    heir.run()
    await until(lambda: heir.spool.records == 1, "the file to be read")
    assert "are torn, and dropped" in caplog.text
    durable.start()
    await until(lambda: heir.spool.replayed_total == 1, "the charge")
    assert await books(purse) == (920, 50, 30)
    await heir.end()


async def test_what_the_store_does_not_know_is_said(
    lane: Lane, purse: Purse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = purse.ledger.hold(purse.customer_id, "rsv_never", ((UNIT, 50),), 60_000, "", "a-rule")
    process = Process(lane, purse, tmp_path)
    # No token of ours proves that they were held.
    process.spool._signer = signer(b"another" * 8)
    for number, may_be_done in enumerate((True, False)):
        hold = record if may_be_done else purse.ledger.hold(
            purse.customer_id, f"rsv_never_{number}", ((UNIT, 50),), 60_000, "", "a-rule"
        )  # fmt: skip
        assert process.spool.keep(Charge(hold=hold, charge=30, usage="", source="reported", may_be_done=may_be_done))
    await process.end()
    heir = Process(lane, purse, tmp_path)
    heir.run()
    await until(lambda: heir.spool.replayed_total == 2, "the charges")
    assert heir.spool.unknown_total == 1
    assert "hold rsv_never_1 of" in caplog.text
    assert await books(purse) == (1000, 0, 0)
    await heir.end()


async def test_what_counts_over_a_period_is_counted_where_it_is(
    durable: StoreServer, lane: Lane, tmp_path: Path
) -> None:
    """12 pages of which 10 are free, each other costs 7; the counters move with the money."""
    purse = await open_purse(lane, granted=1000)
    process = Process(lane, purse, tmp_path)
    hold = await process.holds.take(
        purse.customer_id, purse.credential, UNIT, 0, "", "a-rule", claims=Claims(quote())
    )
    assert isinstance(hold, Hold)
    durable.kill()
    await until(lambda: not lane.connected, "the loss of the store")
    charge = quote().known({"pages": 12})
    assert await process.holds.commit(hold, charge.amount, "", "reported", charge.counted) is None
    await until(lambda: process.spool.records, "the charge to be kept")
    await process.end()
    durable.start()
    await until(lambda: lane.connected, "the store")
    heir = Process(lane, purse, tmp_path)
    heir.run()
    await until(lambda: heir.spool.replayed_total, "the charge")
    assert await books(purse) == (986, 0, 14)
    assert await stand(purse) == Stand(12)
    await heir.end()


@pytest.mark.parametrize(("overrun", "owed"), [(Overrun.OWE, 500), (Overrun.CAP, 0)])
async def test_a_cost_above_all_there_is_ends_as_it_would_have(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path, overrun: Overrun, owed: int
) -> None:
    process = Process(lane, purse, tmp_path)
    hold = await process.take()
    durable.kill()
    await until(lambda: not lane.connected, "the loss of the store")
    assert await process.holds.commit(hold, 1500, "", "reported", overrun=overrun) is None
    await until(lambda: process.spool.records, "the charge to be kept")
    await process.end()
    durable.start()
    await until(lambda: lane.connected, "the store")
    heir = Process(lane, purse, tmp_path)
    heir.run()
    await until(lambda: heir.spool.replayed_total, "the charge")
    balance = await purse.balance()
    assert (balance.available, balance.held, balance.owed) == (0, 0, owed)
    await heir.end()


@pytest.mark.parametrize("trouble", ["full", "no folder"])
async def test_without_a_place_to_write_charges_are_tried_in_memory(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, size = tmp_path / "spool", 20
    if trouble == "no folder":
        folder, size = tmp_path / "file" / "spool", MAX
        (tmp_path / "file").touch()
    process = Process(lane, purse, folder, size)
    process.run()
    hold = await process.take()
    durable.pause()
    await process.commit(hold)
    await until(lambda: process.spool.failing, "the trouble")
    assert caplog.text.count("spool.failing") == 1
    durable.resume()
    await until(lambda: process.holds.settling.pending == 0, "the charge")
    assert await books(purse) == (970, 0, 30)
    await process.end()


async def test_what_can_be_written_again_is_found_out(
    lane: Lane, purse: Purse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").touch()
    process = Process(lane, purse, tmp_path / "spool")
    assert not process.spool.writable()
    assert "File exists" in caplog.text
    (tmp_path / "spool").unlink()
    # Not at each request.
    assert not process.spool.writable()
    monkeypatch.setattr(spool_module, "TRY_S", 0.0)
    assert process.spool.writable()
    assert process.spool.failing is None
    assert caplog.text.count("spool.failing") == caplog.text.count("spool.mended") == 1
    await process.end()
    assert not files(tmp_path / "spool")


async def test_the_file_of_a_process_that_lives_is_left_alone(
    durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
) -> None:
    process, other = Process(lane, purse, tmp_path), Process(lane, purse, tmp_path)
    hold = await process.take()
    durable.pause()
    await process.commit(hold)
    await until(lambda: process.spool.records == 1, "the charge to be kept")
    looking = asyncio.ensure_future(other.spool.run(other.purse.ledger))
    await asyncio.sleep(0)
    assert other.spool.records == 0
    looking.cancel()
    durable.resume()
    await until(lambda: process.holds.settling.pending == 0, "the charge")
    assert (other.spool.replayed_total, await books(purse)) == (0, (970, 0, 30))
    await process.end()
    await other.end()
