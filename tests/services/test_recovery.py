"""A store that has lost its last writes, as a replica that becomes the primary: what was held is charged once."""

from pathlib import Path

import msgspec
import pytest

from sidecar.domain.outcomes import Overrun, Settled
from sidecar.services.charges import Charge, deliver
from sidecar.services.holds import Holds
from sidecar.services.recovery import CHARGED_LATE_S, is_proved, token_of, without_hold
from sidecar.services.settling import Settling
from tests.domain.test_tokens import signer
from tests.services.desk import Desk
from tests.services.test_spool import Process
from tests.support.books import UNIT
from tests.support.store import StoreServer
from tests.support.until import until, until_async

NOW_MS = 1_700_000_000_000


class Replica:
    """A copy of all that the store has, and nothing of what comes later."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        with server.client() as client:
            self._kept = {key: client.dump(key) for key in client.scan_iter()}

    def takes_over(self) -> None:
        with self._server.client() as client:
            client.flushall()
            for key, value in self._kept.items():
                assert value is not None
                client.restore(key, 0, value)


async def test_a_hold_that_was_lost_is_charged_once(
    desk: Desk, store_server: StoreServer, caplog: pytest.LogCaptureFixture
) -> None:
    replica = Replica(store_server)
    hold = await desk.take()
    replica.takes_over()
    assert await desk.books() == (1000, 0, 0)
    assert await desk.commit(hold) is None
    assert await desk.holds.settling.drain(10)
    settling: Settling = desk.holds.settling
    assert (settling.recovered_total, settling.abandoned_total) == (1, 0)
    assert await desk.books() == (880, 0, 120)
    assert f"hold {hold.reservation_id} of {hold.record.customer_id} (a-rule) was lost by the store" in caplog.text
    line = (await desk.purse.lines())[-1]
    assert line.hold is not None
    assert (line.hold.reservation_id, line.usage) == (hold.reservation_id, "input_tokens=1 recovered=hold")

    # Whoever sends it again changes nothing.
    again = await desk.commit(hold)
    assert again is not None
    assert again.replayed
    assert await desk.books() == (880, 0, 120)


async def test_one_that_may_be_charged_already_is_not_charged_again(desk: Desk, store_server: StoreServer) -> None:
    hold = await desk.take()
    store_server.pause()
    assert await desk.commit(hold) is None
    store_server.resume()
    assert await desk.holds.settling.drain(10)
    assert await desk.books() == (880, 0, 120)
    assert desk.holds.settling.recovered_total == 0


async def test_what_is_not_there_any_more_is_owed(desk: Desk, store_server: StoreServer) -> None:
    replica = Replica(store_server)
    hold = await desk.take(900)
    replica.takes_over()
    other = await desk.take(1000)
    assert await desk.commit(other, 1000) is not None
    assert await desk.commit(hold, 900) is None
    assert await desk.holds.settling.drain(10)
    balance = await desk.purse.balance()
    assert (balance.available, balance.spent, balance.owed) == (0, 1000, 900)


async def test_too_late_is_given_up(desk: Desk, store_server: StoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.services.settling.CHARGED_LATE_S", -1000.0)
    replica = Replica(store_server)
    hold = await desk.take()
    replica.takes_over()
    assert await desk.commit(hold) is None
    settling: Settling = desk.holds.settling
    assert (settling.recovered_total, settling.abandoned_total, settling.pending) == (0, 1, 0)
    assert await desk.books() == (1000, 0, 0)


def kept(holds: Holds, desk: Desk) -> Charge:
    record = desk.purse.ledger.hold(desk.purse.customer_id, holds.next_id(), ((UNIT, 50),), 60_000, "", "a-rule")
    return Charge(hold=record, charge=30, usage="input_tokens=1", source="reported")


def test_a_token_proves_its_own_hold_for_some_time(desk: Desk) -> None:
    charge, other = kept(desk.holds, desk), kept(desk.holds, desk)
    token = token_of(signer(), charge.hold, NOW_MS)
    proved = msgspec.structs.replace(charge, token=token)
    last_ms = NOW_MS + round(CHARGED_LATE_S * 1000)
    assert is_proved(signer(), proved, last_ms)
    assert not is_proved(signer(), proved, last_ms + 1)
    assert not is_proved(signer(), charge, NOW_MS)
    assert not is_proved(signer(b"another" * 8), proved, NOW_MS)
    assert not is_proved(signer(), msgspec.structs.replace(other, token=token), NOW_MS)


async def test_the_heir_of_a_dead_process_charges_it_by_its_token(
    desk: Desk, store_server: StoreServer, tmp_path: Path
) -> None:
    replica = Replica(store_server)
    first = Process(desk.lane, desk.purse, tmp_path)
    hold = await first.take()
    charge = Charge(hold=hold.record, charge=30, usage="input_tokens=1", source="reported", overrun=Overrun.CAP)
    assert first.spool.keep(charge, 60)
    await first.end()
    replica.takes_over()
    second = Process(desk.lane, desk.purse, tmp_path)
    second.run()
    await until(lambda: second.spool.replayed_total == 1, "the charge to be delivered")
    assert (second.spool.recovered_total, second.spool.unknown_total) == (1, 0)
    assert await desk.books() == (970, 0, 30)
    again = await deliver(without_hold(charge), desk.purse.ledger)
    assert isinstance(again, Settled)
    assert again.replayed
    await second.end()


async def test_what_was_sent_before_the_process_died_is_not_charged_again(
    desk: Desk, store_server: StoreServer, tmp_path: Path
) -> None:
    """The heir cannot know whether it took effect, and says so."""
    first = Process(desk.lane, desk.purse, tmp_path)
    hold = await first.take()
    assert first.spool.keep(Charge(hold=hold.record, charge=30, usage="", source="reported"), 60)
    await first.spool.sending(hold.reservation_id)
    assert await first.holds.commit(hold, 30, "", "reported") is not None
    await first.end()
    second = Process(desk.lane, desk.purse, tmp_path)
    second.run()
    await until(lambda: second.spool.replayed_total == 1, "the charge to be delivered")
    assert (second.spool.recovered_total, second.spool.unknown_total) == (0, 1)
    assert await desk.books() == (970, 0, 30)
    await second.end()


async def test_without_a_token_that_we_signed_it_is_counted_as_lost(
    desk: Desk, store_server: StoreServer, tmp_path: Path
) -> None:
    replica = Replica(store_server)
    first = Process(desk.lane, desk.purse, tmp_path)
    first.spool._signer = signer(b"another" * 8)
    hold = await first.take()
    assert first.spool.keep(Charge(hold=hold.record, charge=30, usage="", source="reported"), 60)
    await first.end()
    replica.takes_over()
    second = Process(desk.lane, desk.purse, tmp_path)
    second.run()

    async def lost() -> bool:
        return second.spool.unknown_total == 1

    await until_async(lost, "the charge to be given up")
    assert second.spool.recovered_total == 0
    assert await desk.books() == (1000, 0, 0)
    await second.end()
