"""The promise: simultaneous requests never spend the same credit twice, through any number of connections."""

import asyncio
import random
from contextlib import AsyncExitStack

from sidecar.domain.outcomes import Refused, Reserved, Settled
from tests.support.books import Purse, in_credits, open_lane, open_purse
from tests.support.sums import assert_right

SEEDS = 400
REQUESTS = 100
FIT = 5
LANES = 3


async def one_seed(seed: int, purses: list[Purse]) -> None:
    """What there is lies in one block or in several."""
    chance = random.Random(seed)
    price = chance.randint(1, 10**12)
    left = FIT * price + chance.randint(0, price - 1)
    for number in range(chance.choice([0, 0, 2])):
        part = chance.randint(1, left - 1)
        await purses[0].grant(part, f"seed {seed}, {number}", priority=chance.randint(-1, 1))
        left -= part
    await purses[0].grant(left, f"seed {seed}")
    requests = [chance.choice(purses).reserve(f"r{number}", price) for number in range(REQUESTS)]
    outcomes = await asyncio.gather(*requests)
    assert sum(isinstance(outcome, Reserved) for outcome in outcomes) == FIT
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == REQUESTS - FIT


async def test_exactly_what_fits_is_reserved(store_url: str) -> None:
    async with AsyncExitStack() as stack:
        lanes = [await stack.enter_async_context(open_lane(store_url)) for _ in range(LANES)]
        for first in range(0, SEEDS, 20):
            batch = []
            for seed in range(first, first + 20):
                purse = await open_purse(lanes[0], f"customer {seed}")
                batch.append(one_seed(seed, [purse, *map(purse.elsewhere, lanes[1:])]))
            await asyncio.gather(*batch)


async def test_settling_at_once_from_everywhere_keeps_the_books(store_url: str) -> None:
    """Commits and releases of the same holds race through three connections; each hold ends once."""
    async with AsyncExitStack() as stack:
        lanes = [await stack.enter_async_context(open_lane(store_url)) for _ in range(LANES)]
        purse = await open_purse(lanes[0], granted=1000)
        await asyncio.gather(*(purse.reserve(f"r{number}", 10) for number in range(100)))
        racing = [
            each.commit(f"r{number}", 4) if index != number % LANES else each.release(f"r{number}")
            for number in range(100)
            for index, each in enumerate([purse, *map(purse.elsewhere, lanes[1:])])
        ]
        random.Random(7).shuffle(racing)
        outcomes = await asyncio.gather(*racing)
        ends = [outcome for outcome in outcomes if isinstance(outcome, Settled)]
        charged = sum(end.charged for end in ends)
        assert await purse.balance() == in_credits(1000, 1000 - charged, 0, charged)
        assert len(ends) == 100
        await assert_right(purse)
