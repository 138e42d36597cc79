"""What becomes of settlements when the store does not answer, loses replies, or comes back."""

import struct

import pytest

from sidecar.domain.errors import StoreUnavailable
from sidecar.domain.outcomes import Settled
from sidecar.services import settling as module
from sidecar.store.commands import COMMIT, RELEASE, Script
from tests.services.desk import TIMEOUT_S, Desk
from tests.support.books import UNIT, open_lane, open_purse
from tests.support.relay import Relay
from tests.support.store import StoreServer
from tests.support.until import until

HELD_AT = 32
"""Where in an account the held amount is."""


class TestLostReplies:
    @staticmethod
    def lose(relay: Relay, script: Script) -> None:
        relay.lose_reply_to = script.sha

    async def test_a_commit_whose_reply_is_lost_is_charged_once(
        self, relayed: Desk, relay: Relay, caplog: pytest.LogCaptureFixture
    ) -> None:
        hold = await relayed.take()
        self.lose(relay, COMMIT)
        assert await relayed.commit(hold) is None
        assert await relayed.holds.settling.drain(10)
        assert relay.lost_total == 1
        assert await relayed.books() == (880, 0, 120)
        assert relayed.holds.settling.abandoned_total == 0
        assert not [record for record in caplog.records if record.name == module.log.name]

    async def test_a_release_whose_reply_is_lost_comes_back_once(self, relayed: Desk, relay: Relay) -> None:
        hold = await relayed.take()
        self.lose(relay, RELEASE)
        await relayed.holds.release(hold, "it failed")
        assert await relayed.holds.settling.drain(10)
        assert relay.lost_total == 1
        assert await relayed.books() == (1000, 0, 0)


class TestAnAbsentStore:
    async def test_a_commit_waits_for_it_and_is_not_lost(self) -> None:
        server = StoreServer("--appendfsync", "always", append_only=True)
        server.start()
        try:
            async with open_lane(server.url, TIMEOUT_S) as lane:
                desk = Desk(lane, await open_purse(lane, granted=1000))
                hold = await desk.take()
                server.kill()
                await until(lambda: not lane.connected, "the connection to break")
                assert await desk.commit(hold) is None
                assert desk.holds.settling.pending == 1
                assert not await desk.holds.settling.drain(0.01)
                server.start()
                assert await desk.holds.settling.drain(10)
                assert await desk.books() == (880, 0, 120)
        finally:
            server.remove()

    async def test_a_short_absence_does_not_show(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """The caller gets its answer from the repetition when that is in time."""
        monkeypatch.setattr(module, "REPEAT_FIRST_S", 0.001)
        hold = await desk.take()
        calls = 0
        commit = desk.purse.ledger.commit

        async def fails_once(*hold: object, **arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise StoreUnavailable("away")
            return await commit(*hold, **arguments)  # type: ignore[arg-type]  # Passed through.

        monkeypatch.setattr(desk.purse.ledger, "commit", fails_once)
        assert await desk.commit(hold) == Settled(charged=120, available=880)

    async def test_a_commit_that_never_left_and_finds_no_hold_is_not_called_done(self, desk: Desk) -> None:
        hold = await desk.take()
        commit, calls = desk.purse.ledger.commit, 0

        async def fails_once(*hold: object, **arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 1:
                await desk.lane.execute("FLUSHALL")
                raise StoreUnavailable("away")
            return await commit(*hold, **arguments)  # type: ignore[arg-type]  # Passed through.

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(desk.purse.ledger, "commit", fails_once)
            assert await desk.commit(hold) is None
            assert await desk.holds.settling.drain(10)
        assert (calls, desk.holds.settling.abandoned_total) == (2, 1)

    async def test_what_cannot_be_settled_while_the_store_knows_it_is_given_up(
        self,
        desk: Desk,
        store_server: StoreServer,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(module, "CHARGED_LATE_S", 0)
        hasty = Desk(desk.lane, desk.purse, ttl_s=0.05)
        hold = await hasty.take()
        store_server.kill()
        await until(lambda: not desk.lane.connected, "the connection to break")
        assert await hasty.commit(hold) is None
        assert await hasty.holds.settling.drain(10)
        assert hasty.holds.settling.abandoned_total == 1
        assert (
            f"hold {hold.reservation_id} of {hold.record.customer_id} (a-rule): the end of it, a charge of 120"
            in caplog.text
        )


class TestACancelledCaller:
    async def test_a_commit_goes_on(self, desk: Desk, store_server: StoreServer) -> None:
        hold = await desk.take()
        store_server.pause()
        caller = desk.tasks.start(desk.commit(hold), "caller")
        await until(lambda: desk.lane.waiting, "the commit to be sent")
        caller.cancel()
        store_server.resume()
        await until(lambda: caller.done() and desk.holds.settling.pending == 1, "the work to be handed over")
        assert await desk.holds.settling.drain(10)
        assert await desk.books() == (880, 0, 120)

    async def test_a_commit_goes_on_while_it_is_repeated(self, desk: Desk, store_server: StoreServer) -> None:
        hold = await desk.take()
        store_server.pause()
        caller = desk.tasks.start(desk.commit(hold), "caller")
        await until(lambda: desk.lane.timeouts_total, "the first attempt to time out")
        caller.cancel()
        store_server.resume()
        assert await desk.holds.settling.drain(10)
        assert await desk.books() == (880, 0, 120)


async def test_a_corrupt_balance_is_not_tried_for_ever(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    hold = await desk.take()
    account = desk.purse.keys.account(hold.record.customer_id, UNIT).account
    await desk.lane.execute("SETRANGE", account, HELD_AT, struct.pack(">d", 0))
    assert await desk.commit(hold) is None
    assert (desk.holds.settling.pending, desk.holds.settling.abandoned_total) == (0, 1)
    assert "holds less than one of its holds" in caplog.text


async def test_a_hold_that_the_store_does_not_know_is_not_charged(desk: Desk) -> None:
    hold = await desk.take()
    await desk.lane.execute("FLUSHALL")
    assert await desk.commit(hold) is None
    assert await desk.holds.settling.drain(10)
    assert (desk.holds.settling.pending, desk.holds.settling.abandoned_total) == (0, 1)
