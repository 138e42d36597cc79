"""`allow`: who may spend without the store and how much, and that each charge arrives once when it is back."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.domain.errors import StoreError
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.proxy_keys import KeyLimits, KeyRate, credential
from sidecar.domain.store_down import OnStoreDown, StoreDown
from sidecar.services import spool
from sidecar.services.bridging import CALM_S
from sidecar.services.hold import Hold
from sidecar.services.seen import TRUSTED_S
from sidecar.spool.file import SpoolFile
from sidecar.store.lane import Lane
from tests.services.bridge import ALLOW, TIMEOUT_S, Process, away, back, books
from tests.support.books import UNIT, Purse, open_lane, open_member, open_purse
from tests.support.store import StoreServer
from tests.support.until import until


@pytest.fixture
async def lane(durable: StoreServer) -> AsyncIterator[Lane]:
    async with open_lane(durable.url, TIMEOUT_S) as lane:
        yield lane


@pytest.fixture
async def purse(lane: Lane, durable: StoreServer) -> Purse:
    # A store that has just started may take longer than this lane waits.
    async with open_lane(durable.url) as patient:
        return (await open_purse(patient, granted=1000)).elsewhere(lane)


@pytest.fixture
async def allowing(lane: Lane, purse: Purse, tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(lane, purse, tmp_path, ALLOW)
    yield process
    await process.end()


class TestAllow:
    async def test_charges_arrive_once_when_the_store_is_back(
        self, allowing: Process, durable: StoreServer, lane: Lane, purse: Purse
    ) -> None:
        await allowing.known()
        await away(durable, lane)
        await allowing.pay(30)
        await allowing.pay(50)
        assert allowing.spool.records == 2
        assert allowing.bridging.bounds == {UNIT: 80}
        await back(durable, lane, allowing)
        assert await books(purse) == (920, 0, 80, 0)
        assert allowing.spool.records == 0
        assert allowing.bridging.bounds == {UNIT: 0}
        assert purse.ledger.overspent == {}
        lines = [line for line in await purse.lines() if line.charged]
        assert [(line.charged, line.usage, line.source) for line in lines] == [
            (30, "units=1 enforced=false", "reported"),
            (50, "units=1 enforced=false", "reported"),
        ]
        assert {(line.hold.rule, line.hold.rules_version) for line in lines if line.hold} == {("a-rule", "v1")}

    async def test_a_key_with_limits_is_not_trusted(self, allowing: Process, purse: Purse) -> None:
        key, text = await purse.customers.create_key(purse.customer_id, name="", now_ms=1)

        def trusted() -> bool:
            who = (purse.customer_id, credential(text), UNIT)
            return allowing.bridging.allowances.take(*who, 1, ALLOW) is not None

        assert isinstance(await allowing.take(1, credential=credential(text)), Hold)
        assert trusted()
        limits = KeyLimits(rate=KeyRate(requests=9, period_ms=1000, burst=9))
        await purse.customers.change_key(purse.customer_id, key.key_id, lambda _: ("", limits))
        assert isinstance(await allowing.take(1, credential=credential(text)), Hold)
        assert not trusted()

    async def test_what_is_given_back_leaves_no_trace(
        self, allowing: Process, durable: StoreServer, lane: Lane, purse: Purse
    ) -> None:
        await allowing.known()
        await away(durable, lane)
        hold = await allowing.bridged()
        assert allowing.bridging.bounds == {UNIT: 100}
        assert await allowing.holds.release(hold, "it failed") is None
        assert (allowing.bridging.bounds, allowing.spool.records) == ({UNIT: 0}, 0)

    async def test_nobody_spends_more_than_it_was_seen_to_have(
        self, allowing: Process, durable: StoreServer, lane: Lane
    ) -> None:
        await allowing.known()
        await away(durable, lane)
        for _ in range(9):
            await allowing.pay(100)
        await allowing.bridged(99)
        with pytest.raises(StoreError):
            await allowing.take(1)

    async def test_nor_more_than_the_rule_allows(self, allowing: Process, durable: StoreServer, lane: Lane) -> None:
        allowing.policy = StoreDown(way=OnStoreDown.ALLOW, most=150, for_s=60)
        await allowing.known()
        await away(durable, lane)
        await allowing.bridged(100)
        with pytest.raises(StoreError):
            await allowing.take(100)
        await allowing.bridged(50)

    async def test_nor_for_longer(self, allowing: Process, durable: StoreServer, lane: Lane) -> None:
        await allowing.known()
        await away(durable, lane)
        await allowing.bridged()
        allowing.clock.now += 60
        await allowing.bridged()
        allowing.clock.now += 1
        with pytest.raises(StoreError):
            await allowing.take()

    async def test_an_outage_after_an_outage_counts_anew_only_when_all_is_charged(
        self, allowing: Process, durable: StoreServer, lane: Lane
    ) -> None:
        await allowing.known()
        await away(durable, lane)
        open_one = await allowing.bridged()
        durable.start()
        await until(lambda: lane.connected, "the store")
        await allowing.known()
        await away(durable, lane)
        allowing.clock.now += 61
        with pytest.raises(StoreError):
            await allowing.take()
        await allowing.holds.release(open_one, "it failed")
        durable.start()
        await until(lambda: lane.connected, "the store")
        await allowing.known()
        await away(durable, lane)
        await allowing.bridged()

    async def test_strangers_are_refused(self, allowing: Process, durable: StoreServer, lane: Lane) -> None:
        await allowing.known()
        await away(durable, lane)
        with pytest.raises(StoreError):
            await allowing.take(credential="key:unheard")

    async def test_so_is_who_was_not_heard_of_lately(
        self, allowing: Process, durable: StoreServer, lane: Lane
    ) -> None:
        await allowing.known()
        allowing.clock.now += TRUSTED_S + 1
        await away(durable, lane)
        with pytest.raises(StoreError):
            await allowing.take()

    async def test_so_is_whom_the_store_has_turned_away(
        self, allowing: Process, durable: StoreServer, lane: Lane, purse: Purse
    ) -> None:
        await allowing.known()
        await lane.execute("HSET", purse.keys.of(purse.customer_id).customer, "status", "suspended")
        refused = await allowing.take()
        assert isinstance(refused, Refused)
        assert refused.code is RefusalCode.CUSTOMER_SUSPENDED
        await away(durable, lane)
        with pytest.raises(StoreError):
            await allowing.take()

    async def test_who_was_short_may_spend_what_it_had_then(
        self, allowing: Process, durable: StoreServer, lane: Lane
    ) -> None:
        await allowing.known()
        await allowing.pay(990, 990)
        assert isinstance(await allowing.take(100), Refused)
        await away(durable, lane)
        await allowing.bridged(10)
        with pytest.raises(StoreError):
            await allowing.take(1)

    async def test_what_is_not_there_any_more_is_owed_and_counted(
        self, allowing: Process, durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
    ) -> None:
        """Two processes each believe the same balance."""
        other = Process(lane, purse, tmp_path, ALLOW)
        for process in (allowing, other):
            await process.known()
        await away(durable, lane)
        for process in (allowing, other):
            await process.pay(900, 900)
        await back(durable, lane, allowing, other)
        assert await books(purse) == (0, 0, 1000, 800)
        assert allowing.purse.ledger.overspent[UNIT] + other.purse.ledger.overspent[UNIT] == 800
        await other.end()

    async def test_a_member_is_paid_for_by_its_parent(
        self, allowing: Process, durable: StoreServer, lane: Lane, purse: Purse
    ) -> None:
        member = await open_member(purse)
        hold = await allowing.take(1, member)
        assert isinstance(hold, Hold)
        await allowing.holds.release(hold, "to be known")
        await away(durable, lane)
        await allowing.pay(40, 100, member)
        await back(durable, lane, allowing)
        assert await books(purse) == (960, 0, 40, 0)

    async def test_also_by_a_process_that_knows_no_parents(
        self, allowing: Process, durable: StoreServer, lane: Lane, purse: Purse, tmp_path: Path
    ) -> None:
        member = await open_member(purse)
        hold = await allowing.take(1, member)
        assert isinstance(hold, Hold)
        await allowing.holds.release(hold, "to be known")
        await away(durable, lane)
        hold = await allowing.bridged(100, member)
        hold.record = member.ledger.hold(
            member.customer_id, hold.reservation_id, ((UNIT, 100),), 1000, "", "a-rule", remember=True
        )
        await allowing.holds.commit(hold, 40, "", "reported")
        await back(durable, lane, allowing)
        assert await books(purse) == (960, 0, 40, 0)

    async def test_the_next_process_charges_what_one_left(
        self, lane: Lane, durable: StoreServer, purse: Purse, tmp_path: Path
    ) -> None:
        first = Process(lane, purse, tmp_path, ALLOW)
        await first.known()
        await away(durable, lane)
        await first.pay(70)
        await first.end()
        second = Process(lane, purse, tmp_path, ALLOW)
        second.tasks.start(second.spool.run(second.purse.ledger), "spool")
        await until(lambda: second.spool.records == 1, "the charge to be found")
        assert second.bridging.bounds == {UNIT: 70}
        durable.start()
        await until(lambda: second.spool.replayed_total == 1, "the charge")
        assert await books(purse) == (930, 0, 70, 0)
        assert second.bridging.bounds == {UNIT: 0}
        await second.end()

    async def test_what_several_left_is_charged_in_its_order(
        self, lane: Lane, durable: StoreServer, purse: Purse, tmp_path: Path
    ) -> None:
        for charge in range(1, 6):
            process = Process(lane, purse, tmp_path, ALLOW)
            await process.known()
            await away(durable, lane)
            await process.pay(charge)
            await process.end()
            durable.start()
            await until(lambda: lane.connected, "the store")
        heir = Process(lane, purse, tmp_path, ALLOW)
        heir.tasks.start(heir.spool.run(heir.purse.ledger), "spool")
        await until(lambda: heir.spool.replayed_total == 5, "the charges")
        assert [line.charged for line in await purse.lines() if line.charged] == [1, 2, 3, 4, 5]
        await heir.end()

    async def test_a_disk_that_cannot_be_written_ends_it(
        self, lane: Lane, durable: StoreServer, purse: Purse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "no-folder"
        file.write_text("in the way")
        process = Process(lane, purse, file, ALLOW)
        await process.known()
        await away(durable, lane)
        with pytest.raises(StoreError):
            await process.take()
        monkeypatch.setattr(spool, "TRY_S", 0.0)
        file.unlink()
        await process.pay(70)
        assert process.spool.records == 1
        await back(durable, lane, process)
        assert await books(purse) == (930, 0, 70, 0)
        await process.end()

    async def test_what_was_served_before_it_could_not_be_written_is_charged_all_the_same(
        self, allowing: Process, durable: StoreServer, lane: Lane, purse: Purse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As long as the process lives."""

        def full(_file: SpoolFile, _payload: bytes, _max_bytes: int) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        await allowing.known()
        await away(durable, lane)
        hold = await allowing.bridged()
        monkeypatch.setattr(SpoolFile, "put", full)
        await allowing.holds.commit(hold, 70, "", "reported")
        assert (allowing.spool.failing, allowing.spool.records) == ("No space left on device", 0)
        with pytest.raises(StoreError):
            await allowing.take()
        await back(durable, lane, allowing)
        assert await books(purse) == (930, 0, 70, 0)

    async def test_the_log_says_when_it_begins_and_ends(
        self, allowing: Process, durable: StoreServer, lane: Lane, caplog: pytest.LogCaptureFixture
    ) -> None:
        await allowing.known()
        await away(durable, lane)
        await allowing.pay(1)
        await allowing.pay(1)
        assert caplog.text.count("bridging.began") == 1
        await back(durable, lane, allowing)
        await allowing.known()
        assert "bridging.ended" not in caplog.text
        allowing.clock.now += CALM_S
        await allowing.known()
        await allowing.known()
        assert caplog.text.count("bridging.ended: the store answers; 2 requests") == 1

    async def test_a_full_journal_is_no_outage(self, allowing: Process, purse: Purse) -> None:
        pressure = allowing.holds._pressure
        while pressure.entries < 10:
            await allowing.pay(1, 1)
            await pressure.look()
        with pytest.raises(StoreError, match="archive"):
            await allowing.take()

    async def test_a_store_that_does_not_answer_is_bridged_and_its_hold_given_back(
        self, allowing: Process, durable: StoreServer, purse: Purse
    ) -> None:
        await allowing.known()
        durable.pause()
        await allowing.pay(30)
        durable.resume()
        await until(lambda: allowing.holds.settling.pending == 0, "the settlements")
        assert await books(purse) == (970, 0, 30, 0)


async def test_a_cancelled_caller_leaves_its_charge(
    allowing: Process, durable: StoreServer, lane: Lane, purse: Purse
) -> None:
    await allowing.known()
    await away(durable, lane)
    hold = await allowing.bridged()
    caller = asyncio.ensure_future(allowing.holds.commit(hold, 30, "", "reported"))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await back(durable, lane, allowing)
    assert await books(purse) == (970, 0, 30, 0)
