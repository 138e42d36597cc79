"""The life of a hold: what happens when the store does not answer, loses replies, or comes back."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from sidecar.domain.errors import StoreTimeout, StoreUnavailable
from sidecar.domain.outcomes import RefusalCode, Refused, Settled
from sidecar.services import holds as module
from sidecar.services.holds import Hold, Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.store.commands import COMMIT, RELEASE, RESERVE, Script
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import UNIT, Purse, open_lane, open_member, open_purse
from tests.support.relay import Relay, serving
from tests.support.store import StoreServer
from tests.support.until import until, until_async

TIMEOUT_S = 0.2
HELD_AT = 32
"""Where in an account the held amount is."""


class Desk:
    """One customer with 1,000 base units, the service, and a view of the books that needs no lane of ours."""

    def __init__(self, lane: Lane, purse: Purse, *, ttl_s: float = 60.0) -> None:
        self.lane = lane
        self.purse = purse
        self.tasks = Tasks()
        self.pressure = Pressure(purse.journal, max_entries=10)
        self.queue = Queue(lane, purse.ledger, waiting_max=10, account_max=5, tasks=self.tasks)
        self.holds = Holds(
            purse.ledger,
            self.pressure,
            self.queue,
            Outage(lane, self.tasks),
            ttl_s=ttl_s,
            timeout_s=TIMEOUT_S,
            tasks=self.tasks,
        )

    async def take(self, amount: int = 300) -> Hold:
        hold = await self.try_to_take(amount)
        assert isinstance(hold, Hold)
        return hold

    async def try_to_take(self, amount: int = 300) -> Hold | Refused:
        return await self.holds.take(
            self.purse.customer_id, self.purse.credential, UNIT, amount, feature="chat", rule="a-rule"
        )

    async def commit(self, hold: Hold, charge: int = 120) -> Settled | None:
        return await self.holds.commit(hold, charge, "input_tokens=1", "reported")

    async def books(self) -> tuple[int, int, int]:
        balance = await self.purse.balance()
        return balance.available, balance.held, balance.spent


@pytest.fixture
async def desk(store_server: StoreServer) -> AsyncIterator[Desk]:
    async with open_lane(store_server.url, TIMEOUT_S) as lane:
        desk = Desk(lane, await open_purse(lane, granted=1000))
        yield desk
        await desk.tasks.cancel()


@pytest.fixture
async def relay(store_server: StoreServer) -> Relay:
    return Relay(store_server.socket)


@pytest.fixture
async def relayed(relay: Relay) -> AsyncIterator[Desk]:
    """The same through a relay that can lose replies."""
    async with serving(relay) as port, open_lane(f"redis://127.0.0.1:{port}", TIMEOUT_S) as lane:
        desk = Desk(lane, await open_purse(lane, granted=1000))
        yield desk
        await desk.tasks.cancel()


async def test_a_hold_is_taken_and_charged(desk: Desk) -> None:
    hold = await desk.take()
    assert (hold.held, hold.record.rule) == (300, "a-rule")
    assert await desk.books() == (700, 300, 0)
    assert await desk.commit(hold) == Settled(charged=120, available=880)
    assert await desk.books() == (880, 0, 120)
    assert (desk.holds.pending, len(desk.tasks)) == (0, 0)


async def test_a_hold_is_given_back(desk: Desk) -> None:
    assert await desk.holds.release(await desk.take(), "it failed") == Settled(0, 1000)
    assert await desk.books() == (1000, 0, 0)


async def test_a_refusal_is_passed_on(desk: Desk) -> None:
    refused = await desk.try_to_take(1001)
    assert refused == Refused(RefusalCode.INSUFFICIENT_CREDITS, required=1001, available=1000, unit=UNIT)


async def test_a_member_s_hold_is_paid_by_its_parent(desk: Desk) -> None:
    """Also the first one, for which nobody here knew the payer; each later one is a single command."""
    member = await open_member(desk.purse)
    for index in range(3):
        commands = desk.lane.commands_total
        hold = await desk.holds.take(member.customer_id, member.credential, UNIT, 100, feature="", rule="a-rule")
        assert desk.lane.commands_total - commands == (2 if index == 0 else 1)
        assert isinstance(hold, Hold)
        assert hold.record.payer_id == desk.purse.customer_id
        assert await desk.commit(hold, 10) == Settled(charged=10, available=990 - 10 * index)
    assert await desk.books() == (970, 0, 30)
    assert (await member.share()).spent == 30


async def test_full_journals_stop_new_holds_and_no_settlement(desk: Desk) -> None:
    hold = await desk.take()
    while desk.pressure.entries < 10:
        await desk.commit(await desk.take(1), 1)
        await desk.pressure.look()
    with pytest.raises(StoreUnavailable, match="archive is away"):
        await desk.take()
    assert await desk.commit(hold, 120) is not None
    assert (await desk.purse.balance()).held == 0


async def test_reservation_ids_are_unlike_each_other(desk: Desk) -> None:
    others = Desk(desk.lane, desk.purse)
    holds = [await each.take(1) for each in (desk, others) for _ in range(20)]
    assert len({hold.reservation_id for hold in holds}) == 40
    assert all(hold.reservation_id.startswith("rsv_") for hold in holds)


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
        assert await relayed.holds.drain(10)
        assert relay.lost_total == 1
        assert await relayed.books() == (880, 0, 120)
        assert relayed.holds.abandoned_total == 0
        assert not [record for record in caplog.records if record.name == module.log.name]

    async def test_a_release_whose_reply_is_lost_comes_back_once(self, relayed: Desk, relay: Relay) -> None:
        hold = await relayed.take()
        self.lose(relay, RELEASE)
        await relayed.holds.release(hold, "it failed")
        assert await relayed.holds.drain(10)
        assert relay.lost_total == 1
        assert await relayed.books() == (1000, 0, 0)

    async def test_a_reserve_whose_reply_is_lost_is_given_back(self, relayed: Desk, relay: Relay) -> None:
        self.lose(relay, RESERVE)
        with pytest.raises(StoreTimeout):
            await relayed.take()
        assert await relayed.holds.drain(10)
        assert relay.lost_total == 1
        assert await relayed.books() == (1000, 0, 0)


class TestAnAbsentStore:
    async def test_nothing_is_taken_while_it_is_away(self, desk: Desk, store_server: StoreServer) -> None:
        store_server.kill()
        await until(lambda: not desk.lane.connected, "the connection to break")
        with pytest.raises(StoreUnavailable):
            await desk.take()
        assert desk.holds.pending == 0

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
                assert desk.holds.pending == 1
                assert not await desk.holds.drain(0.01)
                server.start()
                assert await desk.holds.drain(10)
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
            assert await desk.holds.drain(10)
        assert (calls, desk.holds.abandoned_total) == (2, 1)

    async def test_a_frozen_store_gives_the_hold_of_a_lost_reserve_back(
        self, desk: Desk, store_server: StoreServer
    ) -> None:
        store_server.pause()
        with pytest.raises(StoreTimeout):
            await desk.take()
        assert desk.holds.pending == 1
        store_server.resume()
        assert await desk.holds.drain(10)
        assert await desk.books() == (1000, 0, 0)

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
        assert await hasty.holds.drain(10)
        assert hasty.holds.abandoned_total == 1
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
        await until(lambda: caller.done() and desk.holds.pending == 1, "the work to be handed over")
        assert await desk.holds.drain(10)
        assert await desk.books() == (880, 0, 120)

    async def test_a_commit_goes_on_while_it_is_repeated(self, desk: Desk, store_server: StoreServer) -> None:
        hold = await desk.take()
        store_server.pause()
        caller = desk.tasks.start(desk.commit(hold), "caller")
        await until(lambda: desk.lane.timeouts_total, "the first attempt to time out")
        caller.cancel()
        store_server.resume()
        assert await desk.holds.drain(10)
        assert await desk.books() == (880, 0, 120)

    async def test_a_reserve_is_given_back(self, desk: Desk, store_server: StoreServer) -> None:
        store_server.pause()
        caller = desk.tasks.start(desk.take(), "caller")
        await until(lambda: desk.lane.waiting, "the reserve to be sent")
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        store_server.resume()
        assert await desk.holds.drain(10)

        async def back() -> bool:
            return await desk.books() == (1000, 0, 0)

        await until_async(back, "the hold to come back")


async def test_a_corrupt_balance_is_not_tried_for_ever(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    hold = await desk.take()
    account = desk.purse.keys.account(hold.record.customer_id, UNIT).account
    await desk.lane.execute("SETRANGE", account, HELD_AT, struct.pack(">d", 0))
    assert await desk.commit(hold) is None
    assert (desk.holds.pending, desk.holds.abandoned_total) == (0, 1)
    assert "holds less than one of its holds" in caplog.text


async def test_a_hold_that_the_store_does_not_know_is_not_charged(desk: Desk) -> None:
    hold = await desk.take()
    await desk.lane.execute("FLUSHALL")
    assert await desk.commit(hold) is None
    assert (desk.holds.pending, desk.holds.abandoned_total) == (0, 1)
