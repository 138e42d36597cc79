"""The queue against a model of it, through many random lives: the same outcomes, and the same are told."""

import random
from collections.abc import Awaitable, Callable

from sidecar.domain.outcomes import Ended, RefusalCode, Refused, Reserved, Settled, UnknownReservation, Waiting
from sidecar.store.lane import Lane
from sidecar.store.ledger import Patience
from tests.support.books import Purse, open_lane, open_purse
from tests.support.clock import StoreClock
from tests.support.sums import assert_right
from tests.support.until import until

SEEDS = 40
STEPS = 60
PATIENCE = Patience(wait_ms=60_000, queue_max=100)
LAST = Patience()


class Model:
    """What one account and its queue do, written to be read; nobody is late and nobody dies."""

    def __init__(self, available: int) -> None:
        self.available = available
        self.holds: dict[str, int] = {}
        self.queue: dict[str, int] = {}
        """What each wants, in the order in which they came."""
        self.told: list[str] = []
        self._told_now: set[str] = set()

    def wait(self, name: str, amount: int, *, last: bool = False) -> str:
        self._told_now.discard(name)
        names = list(self.queue)
        before = names[: names.index(name)] if name in self.queue else names
        if amount == 0 or sum(self.queue[each] for each in before) + amount <= self.available:
            self._take(name, amount)
            self._leave(name)
            return "reserved"
        if self.available + sum(self.holds.values()) < amount:
            self._leave(name)
            return "insufficient"
        if last:
            self._leave(name)
            return "in flight"
        self.queue.setdefault(name, amount)
        return "waiting"

    def reserve(self, name: str, amount: int) -> str:
        if amount <= self.available:
            self._take(name, amount)
            return "reserved"
        return "in flight" if self.available + sum(self.holds.values()) >= amount else "insufficient"

    def settle(self, name: str, cost: int) -> None:
        self.available += self.holds.pop(name) - cost
        self._wake()

    def grant(self, amount: int) -> None:
        self.available += amount
        self._wake()

    def give_up(self, name: str) -> None:
        self._leave(name)

    def _take(self, name: str, amount: int) -> None:
        self.available -= amount
        self.holds[name] = amount

    def _leave(self, name: str) -> None:
        if self.queue.pop(name, None) is not None:
            self._told_now.discard(name)
            self._wake()

    def _wake(self) -> None:
        left = self.available
        for name, amount in self.queue.items():
            if amount > left:
                break
            if name not in self._told_now:
                self._told_now.add(name)
                self.told.append(name)
            left -= amount


def said(outcome: object) -> str:
    match outcome:
        case Reserved():
            return "reserved"
        case Waiting():
            return "waiting"
        case Refused(code=RefusalCode.HOLDS_IN_FLIGHT):
            return "in flight"
        case Refused(code=RefusalCode.INSUFFICIENT_CREDITS):
            return "insufficient"
    raise AssertionError(outcome)


class Life:
    """Random steps of one purse and its model."""

    def __init__(self, seed: int, purse: Purse) -> None:
        self.chance = random.Random(seed)
        self.purse = purse
        self.model = Model(100)
        self.seed = seed
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"rsv_{self.seed}_{self._count}"

    async def in_turn(self, name: str, amount: int, patience: Patience = PATIENCE) -> object:
        record = self.purse.records[name] = self.purse.record(name, amount)
        return await self.purse.ledger.reserve_in_turn(record, self.purse.credential, patience)

    async def comes(self) -> None:
        name, amount = self.new(), self.chance.randrange(90)
        assert said(await self.in_turn(name, amount)) == self.model.wait(name, amount)

    async def tries_again(self) -> None:
        if self.model.queue:
            name, amount = self.chance.choice(list(self.model.queue.items()))
            last = self.chance.random() < 0.2
            outcome = await self.in_turn(name, amount, LAST if last else PATIENCE)
            assert said(outcome) == self.model.wait(name, amount, last=last)

    async def gives_up(self) -> None:
        if self.model.queue:
            name = self.chance.choice(list(self.model.queue))
            assert await self.purse.release(name) == UnknownReservation()
            self.model.give_up(name)
            assert await self.in_turn(name, 1) == Ended()

    async def is_hasty(self) -> None:
        name, amount = self.new(), self.chance.randrange(90)
        assert said(await self.purse.reserve(name, amount)) == self.model.reserve(name, amount)

    async def settles(self) -> None:
        if self.model.holds:
            name, held = self.chance.choice(list(self.model.holds.items()))
            cost = self.chance.randrange(min(held, 9) + 1)
            outcome = await (self.purse.commit(name, cost) if cost else self.purse.release(name))
            assert isinstance(outcome, Settled)
            self.model.settle(name, cost)

    async def is_given(self) -> None:
        amount = self.chance.randrange(1, 30)
        await self.purse.grant(amount, self.new())
        self.model.grant(amount)


async def test_it_does_as_the_model(clock: StoreClock, store_url: str) -> None:
    async with open_lane(store_url) as lane:
        told = sum([await live(lane, seed) for seed in range(SEEDS)])
    assert told > SEEDS


async def live(lane: Lane, seed: int) -> int:
    """One life; how many were told to try again in it."""
    life, heard = Life(seed, await open_purse(lane, f"customer {seed}", 100)), list[str]()
    subscription = await lane.listen(f"sidecar:woken:rsv_{seed}".encode(), lambda name: heard.append(name.decode()))
    steps: list[Callable[[], Awaitable[None]]] = [
        life.comes, life.comes, life.tries_again, life.tries_again, life.gives_up, life.is_hasty, life.settles,
        life.settles, life.settles, life.is_given,
    ]  # fmt: skip
    told = life.model.told
    for _ in range(STEPS):
        await life.chance.choice(steps)()
        balance = await life.purse.balance()
        assert (balance.available, balance.held) == (life.model.available, sum(life.model.holds.values()))
        await until(lambda: len(heard) >= len(told), f"{told[-1:]} to be told")
        assert heard == told
    subscription.close()
    await assert_right(life.purse)
    return len(told)
