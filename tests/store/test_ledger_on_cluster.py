"""The ledger on a real cluster: the same promises, while slots move and a primary dies."""

import asyncio
import random

import pytest

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.counters import Advance, Counter, CounterState, Stand
from sidecar.domain.errors import StoreError
from sidecar.domain.outcomes import CountersMoved, Refused, Reserved, Settled
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.store.counters import Counters
from sidecar.store.journal import Journal
from sidecar.store.lane import Lane
from sidecar.store.shifted_lane import Shift, ShiftedLane
from sidecar.store.topology import slot_of
from sidecar.tasks import Tasks
from tests.support.books import ENVIRONMENT, TENANT, UNIT, Purse, in_credits, open_lane, open_member, open_purse
from tests.support.cluster import Cluster
from tests.support.until import until, until_async

HOUR_MS = 3_600_000
CUSTOMERS = 24
"""So many that all three primaries have some."""


async def purses_of(lane: Lane, granted: int) -> list[Purse]:
    return list(await asyncio.gather(*(open_purse(lane, f"customer {n}", granted) for n in range(CUSTOMERS))))


async def test_exactly_what_fits_is_reserved(cluster: Cluster, cluster_lane: Lane) -> None:
    """Through two connections at once, on every node."""
    async with open_lane(cluster.url) as other:
        for purse in await purses_of(cluster_lane, 500):
            elsewhere = purse.elsewhere(other)
            asked = [
                each.reserve(f"r{number}", 100) for number in range(10) for each in [(purse, elsewhere)[number % 2]]
            ]
            outcomes = await asyncio.gather(*asked)
            assert sum(isinstance(outcome, Reserved) for outcome in outcomes) == 5
            assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 5


async def test_a_clock_that_is_ahead_is_so_on_a_cluster(cluster_lane: Lane) -> None:
    shift = Shift()
    shift.ahead_ms = HOUR_MS
    purse = await open_purse(ShiftedLane(cluster_lane, shift), granted=0)
    await purse.grant(50, "ends", expires_at_ms=shift.now_ms() + HOUR_MS)
    assert isinstance(await purse.reserve("r1", 20), Reserved)
    assert isinstance(await purse.commit("r1", 5), Settled)
    shift.ahead_ms = 3 * HOUR_MS
    assert await purse.balance() == in_credits(50, 0, 0, 5, expired=45)


async def test_counters_move_with_the_money_on_every_node(cluster: Cluster, cluster_lane: Lane) -> None:
    """Through two connections at once: a range is right for one of them only."""
    counter = Counter("ocr/pages@ever", MAX_AMOUNT)
    async with open_lane(cluster.url) as other:
        for purse in await purses_of(cluster_lane, 500):

            async def used(purse: Purse, number: int) -> object:
                only_first = (Advance(counter, 7, 0, 0),)
                record = purse.ledger.hold(
                    purse.customer_id, f"r{number}", ((UNIT, 10),), 60_000, "", "ocr", claims=only_first
                )
                taken = await purse.ledger.reserve_and_claim(record, purse.credential)
                if not isinstance(taken, Reserved):
                    return taken
                return await purse.ledger.commit_and_count(record, 4, "", "reported", only_first)

            outcomes = await asyncio.gather(*(used((purse, purse.elsewhere(other))[n % 2], n) for n in range(10)))
            assert sum(isinstance(outcome, Settled) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, CountersMoved) for outcome in outcomes) == 9
            (state,) = await Counters(cluster_lane, tenant=TENANT, environment=ENVIRONMENT).of(purse.payer_id)
            assert state == CounterState(counter, Stand(7))
            assert (await purse.balance()).spent == 4


async def test_every_operation_finds_its_node(cluster_lane: Lane) -> None:
    for purse in await purses_of(cluster_lane, 1000):
        await purse.grant(50, "later", priority=1, duration_ms=3_600_000)
        await purse.reserve("r1", 300)
        await purse.commit("r1", 120)
        await purse.reserve("r2", 300, remember=True)
        await purse.resize("r2", 400)
        await purse.commit("r2", 100, step=1)
        await purse.release("r2")
        member = await open_member(purse, f"member of {purse.external_id}", cap=100)
        assert isinstance(await member.reserve("m1", 60), Reserved)
        assert isinstance(await member.reserve("m2", 60), Refused)
        await purse.extend("later", None)
        await purse.void("later")
        balance = await purse.balance()
        assert (balance.granted, balance.spent, balance.held) == (1050, 220, 60)
        lines = await purse.lines()
        assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
        assert lines[-1].after.available == balance.available


async def answers(purse: Purse) -> bool:
    try:
        await purse.balance()
    except StoreError:
        return False
    return True


class Traffic:
    """Requests of all customers through the service, until it is told to stop; what was acknowledged is counted."""

    def __init__(self, lane: Lane, purses: list[Purse], tasks: Tasks) -> None:
        pressure = Pressure(Journal(lane, tenant=TENANT, environment=ENVIRONMENT), max_entries=1_000_000)
        queue = Queue(lane, purses[0].ledger, waiting_max=100, account_max=50, tasks=tasks)
        self.holds = Holds(purses[0].ledger, pressure, queue, Outage(lane, tasks), ttl_s=60, timeout_s=2, tasks=tasks)
        self._purses = purses
        self._stopping = False
        self._clients = [tasks.start(self._ask(random.Random(seed)), f"client {seed}") for seed in range(8)]
        self.charged = 0
        self.requests = 0

    async def more(self, requests: int) -> None:
        wanted = self.requests + requests
        await until(lambda: self.requests >= wanted, f"{requests} requests")

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._clients)
        assert await self.holds.settling.drain(20)

    async def _ask(self, chance: random.Random) -> None:
        while not self._stopping:
            purse, cost = chance.choice(self._purses), chance.randint(0, 150)
            try:
                hold = await self.holds.take(purse.customer_id, purse.credential, UNIT, 100, "", "a-rule")
            except StoreError:
                # While the circuit is open nothing is awaited above, and nobody else would ever run.
                await asyncio.sleep(0)
                continue
            assert isinstance(hold, Hold)
            await self.holds.commit(hold, cost, "", "reported")
            self.charged += cost
            self.requests += 1


async def test_nothing_is_lost_or_doubled_while_slots_move(cluster: Cluster) -> None:
    tasks = Tasks()
    async with open_lane(cluster.url, timeout_s=2.0) as lane:
        purses = await purses_of(lane, 10**9)
        traffic = Traffic(lane, purses, tasks)
        await traffic.more(200)
        for purse in purses[:4]:
            slot = slot_of(b"%d" % purse.partition)
            source, target = cluster.two_primaries(slot)
            with cluster.migrating(slot, source, target):
                while await asyncio.to_thread(cluster.move_keys, slot, source, target):
                    pass
            await traffic.more(100)
        await traffic.stop()
        balances = [await purse.balance() for purse in purses]
        assert sum(balance.spent for balance in balances) == traffic.charged
        assert sum(balance.held for balance in balances) == 0
        for purse in purses:
            lines = await purse.lines()
            assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    await tasks.cancel()


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "kill -9"])
async def test_a_failover_leaves_whole_books(cluster: Cluster, planned: bool) -> None:
    """A primary that dies takes with it what its replica had not heard of; what is left still adds up."""
    tasks = Tasks()
    # Only who loses a primary has to be impatient: making customers may take as long as a busy machine lets it.
    async with open_lane(cluster.url) as patient, open_lane(cluster.url, timeout_s=0.5) as lane:
        purses = [purse.elsewhere(lane) for purse in await purses_of(patient, 10**9)]
        traffic = Traffic(lane, purses, tasks)
        await traffic.more(200)
        primary = cluster.primary_of(slot_of(b"%d" % purses[0].partition))
        replica = cluster.replica_of(primary)
        if planned:
            replica.run("CLUSTER", "FAILOVER")
        else:
            primary.kill()
        await until(lambda: cluster.is_primary(replica), "the replica to take over")
        await until_async(lambda: answers(purses[0]), "its customers to be served again")
        await traffic.more(300)
        await traffic.stop()
        for purse in purses:
            balance = await purse.balance()
            assert balance.granted == balance.available + balance.held + balance.spent
            lines = await purse.lines()
            assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
            assert lines[-1].after.spent == balance.spent
        if planned:
            assert sum([(await purse.balance()).spent for purse in purses]) == traffic.charged
        else:
            primary.start()
            await asyncio.to_thread(cluster.until_whole)
    await tasks.cancel()
