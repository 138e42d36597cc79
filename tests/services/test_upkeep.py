"""Holds of running requests: kept alive for as long as they take, and held again when they expired all the same."""

from collections.abc import AsyncIterator, Iterator

import pytest

from sidecar.domain.counted_quotes import Claims
from sidecar.domain.counters import Advance, Stand
from sidecar.domain.outcomes import Settled
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.services.upkeep import BATCH, Upkeep
from sidecar.store.commands import RESERVE, RESIZE
from sidecar.store.counters import Counters
from sidecar.store.hold_record import HoldRecord
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.services.test_counting import quote
from tests.support.books import ENVIRONMENT, NOW_MS, TENANT, UNIT, Purse, open_lane, open_purse
from tests.support.clock import StoreClock, store_clock
from tests.support.processes import Process
from tests.support.relay import Relay, serving
from tests.support.store import StoreServer
from tests.support.sums import assert_right
from tests.support.until import until

TTL_S = 60.0


class Desk:
    """One customer with 1,000 base units; its time is the store's, and moves when the test says so."""

    def __init__(self, lane: Lane, purse: Purse, clock: StoreClock) -> None:
        self.lane = lane
        self.purse = purse
        self.clock = clock
        self.tasks = Tasks()
        pressure = Pressure(purse.journal, max_entries=10_000)
        queue = Queue(lane, purse.ledger, waiting_max=10, account_max=5, tasks=self.tasks)
        self.holds = Holds(
            purse.ledger, pressure, queue, Outage(lane, self.tasks), ttl_s=TTL_S, timeout_s=0.5, tasks=self.tasks
        )
        self.upkeep = self.holds.upkeep = Upkeep(
            purse.ledger,
            ttl_s=TTL_S,
            give_back=self.holds._give_back_unwanted,
            tasks=self.tasks,
            now=lambda: clock.now_ms / 1000,
        )

    async def take(self, amount: int = 300) -> Hold:
        hold = await self.holds.take(
            self.purse.customer_id, self.purse.credential, UNIT, amount, feature="chat", rule="a-rule"
        )
        assert isinstance(hold, Hold)
        hold.deadline = self.clock.now_ms / 1000 + TTL_S
        return hold

    async def commit(self, hold: Hold, charge: int) -> Settled | None:
        return await self.holds.commit(hold, charge, "input_tokens=1", "reported")

    async def books(self) -> tuple[int, int, int]:
        balance = await self.purse.balance()
        return balance.available, balance.held, balance.spent


@pytest.fixture
def clock(store_server: StoreServer) -> Iterator[StoreClock]:
    with store_clock(store_server, NOW_MS) as clock:
        yield clock


@pytest.fixture
async def desk(store_server: StoreServer, clock: StoreClock) -> AsyncIterator[Desk]:
    async with open_lane(store_server.url) as lane:
        desk = Desk(lane, await open_purse(lane, granted=1000), clock)
        yield desk
        await desk.tasks.cancel()


@pytest.fixture
async def relay(store_server: StoreServer) -> Relay:
    return Relay(store_server.socket)


@pytest.fixture
async def relayed(relay: Relay, clock: StoreClock) -> AsyncIterator[Desk]:
    """The same through a relay that can lose replies."""
    async with serving(relay) as port, open_lane(f"redis://127.0.0.1:{port}", 0.3) as lane:
        desk = Desk(lane, await open_purse(lane, granted=1000), clock)
        yield desk
        await desk.tasks.cancel()


async def test_a_request_of_an_hour_keeps_its_hold(desk: Desk) -> None:
    hold = await desk.take()
    for _ in range(3600 // 20):
        desk.clock.tick(20_000)
        await desk.upkeep.beat()
        assert await desk.purse.ledger.sweep(desk.purse.partition, 10) in {(0, 0), (1, 0)}
    assert desk.upkeep.beats_total == 90
    (shown,) = await desk.purse.holds()
    assert (shown.held, shown.created_at_ms) == (300, NOW_MS)
    assert await desk.commit(hold, 120) == Settled(charged=120, available=880)
    line = (await desk.purse.lines())[-1]
    assert line.hold is not None
    assert line.hold.reserved_at_ms == NOW_MS, "however long it took"
    await assert_right(desk.purse)


async def test_a_request_that_ends_in_time_costs_nothing_more(desk: Desk) -> None:
    commands = desk.lane.commands_total
    hold = await desk.take()
    desk.clock.tick(29_000)
    await desk.upkeep.beat()
    await desk.commit(hold, 120)
    desk.clock.tick(60_000)
    await desk.upkeep.beat()
    assert desk.lane.commands_total - commands == 2


async def test_many_holds_go_in_few_writes(desk: Desk) -> None:
    holds = [await desk.take(1) for _ in range(2 * BATCH + 50)]
    desk.clock.tick(40_000)
    late = await desk.take(1)
    writes = desk.lane.flushes_total
    await desk.upkeep.beat()
    assert desk.upkeep.beats_total == len(holds)
    assert desk.lane.flushes_total - writes <= 6, "three batches, of each the first command alone"
    assert {hold.deadline - late.deadline for hold in holds} == {0}


async def test_what_nobody_keeps_alive_comes_back(desk: Desk) -> None:
    await desk.take()
    desk.clock.tick(60_000)
    assert await desk.purse.sweep() == 1
    assert await desk.books() == (1000, 0, 0)


class TestAHoldThatExpired:
    """As when the process was stopped for a while."""

    async def test_is_held_again(self, desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
        hold = await desk.take()
        first = hold.reservation_id
        desk.clock.tick(61_000)
        await desk.purse.sweep()
        await desk.upkeep.beat()
        assert desk.upkeep.lost_total == 1
        assert await desk.books() == (700, 300, 0)
        assert hold.reservation_id.startswith(f"{first}.")
        assert f"hold {first} has expired" in caplog.text
        for _ in range(3):
            desk.clock.tick(40_000)
            await desk.upkeep.beat()
            await desk.purse.sweep()
        assert await desk.commit(hold, 120) == Settled(charged=120, available=880)
        line = (await desk.purse.lines())[-1]
        assert line.hold is not None
        assert (line.hold.feature, line.hold.rule, line.hold.reservation_id) == (
            "chat",
            "a-rule",
            hold.reservation_id,
        )
        await assert_right(desk.purse)

    async def test_claims_again_what_it_may_count(self, desk: Desk) -> None:
        """One page, of which ten are free: without a claim, another request would be priced as if it were alone."""
        ledger, customer_id = desk.purse.ledger, desk.purse.customer_id
        hold = await desk.holds.take(
            customer_id, desk.purse.credential, UNIT, 0, "", "a-rule", claims=Claims(quote())
        )
        assert isinstance(hold, Hold)
        hold.deadline = desk.clock.now_ms / 1000 + TTL_S
        counters = Counters(desk.lane, tenant=TENANT, environment=ENVIRONMENT)
        assert [each.stand for each in await counters.of(customer_id)] == [Stand(0, 1)]
        desk.clock.tick(61_000)
        await desk.purse.sweep()
        assert [each.stand for each in await counters.of(customer_id)] == [Stand(0, 0)]
        # Others use up the allowance meanwhile; it is held for what it was held for.
        (claim,) = hold.record.claims
        other = ledger.hold(
            customer_id, "other", ((UNIT, 0),), 60_000, "", "a-rule", claims=(Advance(claim.counter, 10),)
        )
        await ledger.reserve_and_claim(other, desk.purse.credential)
        await ledger.commit_and_count(other, 0, "", "reported", other.claims)
        await desk.upkeep.beat()
        assert [each.stand for each in await counters.of(customer_id)] == [Stand(10, 1)]
        charge = quote().known({"pages": 1})
        settled = await desk.holds.commit(hold, charge.amount, "pages=1", "reported", charge.counted)
        assert settled is not None
        assert (settled.charged, settled.late, settled.stands) == (7, False, (Stand(11),))
        await assert_right(desk.purse)

    async def test_is_charged_late_when_somebody_else_has_the_credit(self, desk: Desk) -> None:
        hold = await desk.take()
        desk.clock.tick(61_000)
        await desk.purse.sweep()
        other = await desk.take(900)
        await desk.upkeep.beat()
        assert (hold.held, desk.upkeep.lost_total) == (0, 1)
        await desk.upkeep.beat()
        assert desk.upkeep.lost_total == 1, "it is not tried again"
        assert await desk.commit(hold, 120) == Settled(charged=120, available=0, owed=20, late=True)
        await desk.commit(other, 900)
        await assert_right(desk.purse)

    async def test_before_the_sweep_found_it_is_kept(self, desk: Desk) -> None:
        await desk.take()
        desk.clock.tick(61_000)
        await desk.upkeep.beat()
        assert await desk.purse.sweep() == 0
        assert await desk.books() == (700, 300, 0)

    async def test_and_was_settled_while_it_was_held_again_is_given_back(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hold = await desk.take()
        desk.clock.tick(61_000)
        await desk.purse.sweep()
        reserve = desk.purse.ledger.reserve

        async def settles_first(record: HoldRecord, credential: str) -> object:
            settled = await desk.commit(hold, 120)
            assert settled is not None
            assert settled.late
            return await reserve(record, credential)

        monkeypatch.setattr(desk.purse.ledger, "reserve", settles_first)
        await desk.upkeep.beat()
        assert await desk.holds.settling.drain(10)
        assert await desk.books() == (880, 0, 120)
        await assert_right(desk.purse)

    async def test_is_not_held_twice_when_a_reply_is_lost(self, relayed: Desk, relay: Relay) -> None:
        hold = await relayed.take()
        relayed.clock.tick(61_000)
        await relayed.purse.sweep()
        relay.lose_reply_to = RESERVE.sha
        await relayed.upkeep.beat()
        assert (relay.lost_total, relayed.upkeep.failures_total) == (1, 1)
        assert await relayed.holds.settling.drain(10)
        await until(lambda: relayed.lane.connected, "the connection to be back")
        await relayed.upkeep.beat()
        assert await relayed.books() == (700, 300, 0)
        await relayed.commit(hold, 100)
        assert await relayed.books() == (900, 0, 100)


async def test_a_beat_whose_reply_is_lost_is_repeated(relayed: Desk, relay: Relay) -> None:
    hold = await relayed.take()
    relayed.clock.tick(40_000)
    relay.lose_reply_to = RESIZE.sha
    await relayed.upkeep.beat()
    assert (relayed.upkeep.beats_total, relayed.upkeep.failures_total) == (0, 1)
    await until(lambda: relayed.lane.connected, "the connection to be back")
    await relayed.upkeep.beat()
    assert (relayed.upkeep.beats_total, hold.deadline) == (1, relayed.clock.now_ms / 1000 + TTL_S)


async def test_it_runs_by_itself(store_url: str) -> None:
    """With the real clocks, and a life of 0.4 s."""
    async with open_lane(store_url) as lane:
        process = Process(lane, await open_purse(lane, granted=1000), ttl_s=0.4)
        upkeep = process.holds.upkeep
        process.tasks.start(upkeep.run(), "upkeep")
        hold = await process.take(300, wait_ms=0)
        assert isinstance(hold, Hold)
        await until(lambda: upkeep.beats_total >= 4, "some beats")
        assert await process.holds.commit(hold, 10, "", "reported") == Settled(charged=10, available=990)
        await process.tasks.cancel()


async def test_a_hold_that_ends_while_it_shall_grow_is_not_short_of_credit(desk: Desk) -> None:
    hold = await desk.take(300)
    assert await desk.commit(hold, 300)
    told: list[bool] = []
    desk.upkeep.grow(hold, 500, lambda: told.append(True))
    await until(lambda: told, "the growth to be tried")
    assert (desk.upkeep.grown_total, desk.upkeep.exhausted_total, desk.upkeep.lost_total) == (0, 0, 0)


async def test_a_hold_that_cannot_grow_is_short_of_credit(desk: Desk) -> None:
    hold = await desk.take(300)
    told: list[bool] = []
    desk.upkeep.grow(hold, 2000, lambda: told.append(True))
    await until(lambda: told, "the growth to be tried")
    assert (desk.upkeep.grown_total, desk.upkeep.exhausted_total, hold.held) == (1, 1, 1000)
