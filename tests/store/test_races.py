"""Operations that race through several connections: each thing happens once, and the books are right."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sidecar.domain.errors import Conflict, NotFound, SidecarError
from sidecar.domain.journal import Kind
from sidecar.domain.outcomes import (
    Ended,
    Granted,
    HoldState,
    Overrun,
    Refused,
    Reserved,
    Resolved,
    Settled,
    UnknownReservation,
)
from sidecar.store.lane import Lane
from tests.support.books import TTL_MS, Purse, in_credits, open_lane, open_member, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right

LANES = 3
SEEDS = 40


@pytest.fixture
async def lanes(store_url: str) -> AsyncIterator[list[Lane]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_lane(store_url)) for _ in range(LANES)]


class Race:
    """One customer, in three processes so to speak, and chance."""

    def __init__(self, seed: int, purses: list[Purse]) -> None:
        self.chance = random.Random(seed)
        self.purses = purses

    @property
    def purse(self) -> Purse:
        return self.purses[0]

    @property
    def anyone(self) -> Purse:
        return self.chance.choice(self.purses)

    async def run(self, works: Iterable[Awaitable[Any]]) -> list[Any]:
        """All at once, from different turns of the loop; errors of ours are answers. In the order of `works`."""

        async def one(work: Awaitable[Any], turns: int) -> Any:
            for _ in range(turns):
                await asyncio.sleep(0)
            try:
                return await work
            except SidecarError as error:
                return error

        started = [asyncio.ensure_future(one(work, self.chance.randrange(4))) for work in works]
        return await asyncio.gather(*started)


async def all_seeds(lanes: list[Lane], granted: int, play: Callable[[Race], Awaitable[None]]) -> None:
    """Play it with many customers at once, each by a seed of its own; all books must be right then."""

    async def one(seed: int) -> Race:
        first = await open_purse(lanes[0], f"customer {seed}", granted)
        race = Race(seed, [first, *map(first.elsewhere, lanes[1:])])
        await play(race)
        return race

    for race in await asyncio.gather(*map(one, range(SEEDS))):
        await assert_right(race.purse)


def settled(outcomes: list[Any]) -> list[Settled]:
    return [each for each in outcomes if isinstance(each, Settled) and not each.replayed]


class TestEnds:
    @pytest.mark.parametrize("remember", [False, True])
    async def test_two_commits(self, lanes: list[Lane], remember: bool) -> None:
        async def play(race: Race) -> None:
            await race.purse.reserve("r1", 300, remember=remember)
            costs = [race.chance.choice([100, 200]) for _ in range(6)]
            outcomes = await race.run(race.anyone.commit("r1", cost) for cost in costs)
            (winner,) = settled(outcomes)
            for cost, outcome in zip(costs, outcomes, strict=True):
                if outcome is winner:
                    continue
                if not remember:
                    assert outcome == UnknownReservation()
                elif cost == winner.charged:
                    assert (outcome.charged, outcome.replayed) == (winner.charged, True)
                else:
                    assert outcome == Resolved(HoldState.COMMITTED)
            assert await race.purse.balance() == in_credits(1000, 1000 - winner.charged, 0, winner.charged)

        await all_seeds(lanes, 1000, play)

    @pytest.mark.parametrize("remember", [False, True])
    async def test_a_commit_and_a_release(self, lanes: list[Lane], remember: bool) -> None:
        async def play(race: Race) -> None:
            await race.purse.reserve("r1", 300, remember=remember)
            works = [race.anyone.commit("r1", 120), race.anyone.release("r1")]
            race.chance.shuffle(works)
            (winner,) = settled(await race.run(works))
            assert await race.purse.balance() == in_credits(1000, 1000 - winner.charged, 0, winner.charged)

        await all_seeds(lanes, 1000, play)

    async def test_commits_and_sweeps(self, clock: StoreClock, lanes: list[Lane]) -> None:
        """20 holds, 10 who commit, and two sweeps: each hold ends once, in time or late."""

        async def play(race: Race) -> None:
            names = [f"r{number}" for number in range(20)]
            await asyncio.gather(*(race.purse.reserve(name, 10) for name in names))
            overdue.append(race)
            if len(overdue) == SEEDS:
                clock.tick(TTL_MS)
                ready.set()
            await ready.wait()
            committed = [race.chance.choice(names) for _ in range(10)]
            works: list[Awaitable[Any]] = [race.anyone.commit(name, 4) for name in committed]
            works += [purse.ledger.sweep(purse.partition, 100) for purse in race.purses[1:]]
            race.chance.shuffle(works)
            ends = settled(await race.run(works))
            assert len(ends) == len(set(committed))
            await race.purse.sweep()
            kinds = Counter(line.kind for line in await race.purse.lines())
            assert kinds[Kind.COMMIT] + kinds[Kind.LATE_COMMIT] == len(ends)
            assert kinds[Kind.COMMIT] + kinds[Kind.HOLD_EXPIRY] == 20
            assert await race.purse.balance() == in_credits(1000, 1000 - 4 * len(ends), 0, 4 * len(ends))

        overdue: list[Race] = []
        ready = asyncio.Event()
        await all_seeds(lanes, 1000, play)

    async def test_the_same_step_is_charged_once(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            await race.purse.reserve("r1", 100)
            for step in (1, 2):
                outcomes = await race.run(race.anyone.commit("r1", 30, step=step) for _ in range(5))
                assert len(settled(outcomes)) == 1
                assert {each.charged for each in outcomes if each.replayed} <= {30 * step}
            assert await race.purse.balance() == in_credits(1000, 900, 40, 60)

        await all_seeds(lanes, 1000, play)

    async def test_overruns_that_leave_debt(self, lanes: list[Lane]) -> None:
        """What comes back pays it, whatever the order."""

        async def play(race: Race) -> None:
            await asyncio.gather(*(race.purse.reserve(f"r{number}", 100) for number in range(10)))
            costs = [race.chance.choice([0, 50, 100, 150, 300]) for _ in range(10)]
            outcomes = await race.run(race.anyone.commit(f"r{number}", cost) for number, cost in enumerate(costs))
            assert [each.charged for each in outcomes] == costs
            balance = await race.purse.balance()
            assert (balance.held, balance.spent + balance.owed) == (0, sum(costs))
            assert balance.owed == max(0, sum(costs) - 1000)

        await all_seeds(lanes, 1000, play)


class TestReserves:
    async def test_the_same_one_many_times(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            outcomes = await race.run(race.anyone.reserve("r1", 300) for _ in range(8))
            assert all(isinstance(each, Reserved) and each.held == 300 for each in outcomes)
            assert sum(not each.replayed for each in outcomes) == 1
            ((hold,),) = (await race.purse.holds(),)
            assert hold.held == 300

        await all_seeds(lanes, 1000, play)

    async def test_one_and_its_release(self, lanes: list[Lane]) -> None:
        """Whichever comes first, nothing stays held."""

        async def play(race: Race) -> None:
            works: list[Awaitable[Any]] = [race.anyone.reserve("r1", 300), race.anyone.release("r1")]
            reserved, released = await race.run(works)
            if isinstance(released, Settled):
                assert isinstance(reserved, Reserved)
            else:
                assert (reserved, released) == (Ended(), UnknownReservation())
            assert await race.purse.balance() == in_credits(1000, 1000, 0, 0)

        await all_seeds(lanes, 1000, play)

    async def test_from_a_block_that_lapses(self, clock: StoreClock, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            await race.purse.grant(105, "soon", expires_at_ms=clock.now_ms + TTL_MS)
            racing.append(race)
            if len(racing) == SEEDS:
                ready.set()
            await ready.wait()
            works: list[Awaitable[Any]] = [race.anyone.reserve(f"r{number}", 10) for number in range(30)]
            if race is racing[SEEDS // 2]:
                works.append(tick())
            reserved = sum(isinstance(each, Reserved) for each in await race.run(works))
            # 250 if the time passed before all of them, 350 if after.
            assert 25 <= reserved <= 30
            balance = await race.purse.balance()
            assert (balance.held, balance.available + balance.expired) == (10 * reserved, 355 - 10 * reserved)
            await race.run(race.anyone.release(f"r{number}") for number in range(30))
            assert (await race.purse.balance()) == in_credits(355, 250, 0, 0, expired=105)

        async def tick() -> None:
            clock.tick(TTL_MS)

        racing: list[Race] = []
        ready = asyncio.Event()
        await all_seeds(lanes, 250, play)

    async def test_members_of_a_pool(self, lanes: list[Lane]) -> None:
        """Caps and the pool's account bound them together."""

        async def play(race: Race) -> None:
            members = [await open_member(race.purse, f"{race.purse.external_id}, {n}", cap=40) for n in range(4)]
            works = [
                member.elsewhere(race.chance.choice(lanes)).reserve(f"m{index}_{number}", 10)
                for index, member in enumerate(members)
                for number in range(8)
            ]
            race.chance.shuffle(works)
            outcomes = await race.run(works)
            assert sum(isinstance(each, Reserved) for each in outcomes) == 10
            assert sum([(await member.share()).held for member in members]) == 100
            assert all([(await member.share()).held <= 40 for member in members])

        await all_seeds(lanes, 105, play)


class TestResizes:
    async def test_and_a_commit(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            await race.purse.reserve("r1", 300)
            works: list[Awaitable[Any]] = [
                race.anyone.resize("r1", 500), race.anyone.commit("r1", 400), race.anyone.resize("r1", 900),
            ]  # fmt: skip
            race.chance.shuffle(works)
            outcomes = await race.run(works)
            (winner,) = settled(outcomes)
            assert (winner.charged, winner.available) == (400, 600)
            assert all(each == winner or isinstance(each, Reserved | UnknownReservation) for each in outcomes)
            assert await race.purse.balance() == in_credits(1000, 600, 0, 400)

        await all_seeds(lanes, 1000, play)

    async def test_of_many_holds_never_take_more_than_there_is(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            names = [f"r{number}" for number in range(10)]
            await asyncio.gather(*(race.purse.reserve(name, 50) for name in names))
            works = [race.anyone.resize(name, wanted) for name in names for wanted in (130, 150)]
            race.chance.shuffle(works)
            outcomes = await race.run(works)
            assert {type(each) for each in outcomes} == {Reserved, Refused}
            balance = await race.purse.balance()
            assert balance.held + balance.available == 1000
            assert balance.held == sum(hold.held for hold in await race.purse.holds())

        await all_seeds(lanes, 1000, play)


class TestBlocks:
    async def test_voids_commits_and_reserves(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            await race.purse.grant(500, "other", priority=1)
            await asyncio.gather(*(race.purse.reserve(f"r{number}", 100) for number in range(6)))
            works: list[Awaitable[Any]] = [race.anyone.commit(f"r{number}", 130) for number in range(6)]
            works += [race.anyone.void("opening", once=f"v{number}") for number in range(2)]
            works += [race.anyone.reserve(f"s{number}", 50) for number in range(4)]
            race.chance.shuffle(works)
            outcomes = await race.run(works)
            assert sum(isinstance(each, NotFound) for each in outcomes) == 1
            await race.run(race.anyone.release(f"s{number}") for number in range(4))
            balance = await race.purse.balance()
            assert (balance.granted, balance.held, balance.spent + balance.owed) == (1500, 0, 780)

        await all_seeds(lanes, 1000, play)

    async def test_one_key_makes_one_block(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            outcomes = await race.run(race.anyone.grant(100, "k", block_id=f"blk_{n}") for n in range(6))
            assert sum(not each.replayed for each in outcomes) == 1
            assert len({(each.block_id, each.entry) for each in outcomes}) == 1
            assert await race.purse.balance() == in_credits(100, 100, 0, 0)

        await all_seeds(lanes, 0, play)

    async def test_one_business_key_makes_one_block(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            key = f"payment of {race.purse.external_id}"
            outcomes = await race.run(race.anyone.grant(100, f"k{n}", external_payment_id=key) for n in range(6))
            granted = [each for each in outcomes if isinstance(each, Granted)]
            assert all(isinstance(each, Granted | Conflict) for each in outcomes)
            assert sum(not each.duplicate for each in granted) == 1
            assert len({each.block_id for each in granted}) == 1
            assert await race.purse.balance() == in_credits(100, 100, 0, 0)

        await all_seeds(lanes, 0, play)

    async def test_a_series_stays_within_its_cap(self, lanes: list[Lane]) -> None:
        async def play(race: Race) -> None:
            outcomes = await race.run(race.anyone.grant(30, f"k{n}", series="plan", cap=100) for n in range(8))
            assert sorted(each.amount for each in outcomes) == [0, 0, 0, 0, 10, 30, 30, 30]
            assert await race.purse.balance() == in_credits(100, 100, 0, 0)

        await all_seeds(lanes, 0, play)


def any_end(chance: random.Random, purse: Purse, name: str) -> Awaitable[Any]:
    others = [chance.randrange(9) for _ in purse.known(name).parts[1:]]
    what, amount = chance.choice(["commit", "commit", "release", "resize"]), chance.randrange(90)
    if what == "release":
        return purse.release(name)
    if what == "resize":
        return purse.resize(name, amount, *others)
    return purse.commit(name, amount, *others, step=chance.choice([0, 0, 1, 2]), overrun=chance.choice(list(Overrun)))


async def test_everything_at_once(clock: StoreClock, lanes: list[Lane]) -> None:
    """Several units, members, blocks that start and lapse, and time that passes."""

    async def play(race: Race) -> None:
        purse, chance = race.purse, race.chance
        member = await open_member(purse, f"{purse.external_id}, a member", cap=300)
        await purse.grant(300, "tokens", unit="tokens", duration_ms=3 * TTL_MS)
        for turn in range(4):
            await purse.grant(100, f"next{turn}", priority=-turn, duration_ms=chance.randrange(1, 3 * TTL_MS))
            who = [*race.purses, *(member.elsewhere(lane) for lane in lanes)]
            works: list[Awaitable[Any]] = []
            for number in range(12):
                one, name = chance.choice(who), f"r{turn}_{number}"
                remember, tokens = chance.random() < 0.3, chance.choice([None, None, 5])
                works.append(one.reserve(name, chance.randrange(60), tokens=tokens, remember=remember))
            for name in chance.choices(list(purse.records) + list(member.records) or ["none"], k=16):
                one = member if name in member.records else purse
                works.append(any_end(chance, one, name))
            works += [purse.void(f"next{turn}"), purse.ledger.sweep(purse.partition, 100)]
            chance.shuffle(works)
            await race.run(works)
            clock.tick(chance.randrange(TTL_MS))

    await all_seeds(lanes, 1000, play)
