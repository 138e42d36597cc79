"""The promise: simultaneous requests never spend the same credit twice, through any number of connections."""

import asyncio
import random
from contextlib import AsyncExitStack

from sidecar.domain.outcomes import Balance, Refused, Reserved, Settled
from tests.support.books import UNIT, Purse, open_lane, open_purse

SEEDS = 1000
REQUESTS = 100
FIT = 5
LANES = 3


async def one_seed(seed: int, purses: list[Purse]) -> None:
    chance = random.Random(seed)
    price = chance.randint(1, 10**12)
    await purses[0].grant(FIT * price + chance.randint(0, price - 1), f"seed {seed}")
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
                ledgers = [(await open_purse(lane, f"customer {seed}")).ledger for lane in lanes]
                purses = [Purse(ledger, purse.customer_id, f"customer {seed}") for ledger in ledgers]
                batch.append(one_seed(seed, purses))
            await asyncio.gather(*batch)


async def test_settling_at_once_from_everywhere_keeps_the_books(store_url: str) -> None:
    """Commits and releases of the same holds race through three connections; each hold ends once."""
    async with AsyncExitStack() as stack:
        lanes = [await stack.enter_async_context(open_lane(store_url)) for _ in range(LANES)]
        purses = [await open_purse(lane) for lane in lanes]
        await purses[0].grant(1000, "opening")
        await asyncio.gather(*(purses[0].reserve(f"r{number}", 10) for number in range(100)))
        purses[1].records = purses[2].records = purses[0].records
        racing = [
            purse.commit(f"r{number}", 4) if index != number % LANES else purse.release(f"r{number}")
            for number in range(100)
            for index, purse in enumerate(purses)
        ]
        random.Random(7).shuffle(racing)
        outcomes = await asyncio.gather(*racing)
        ends = [outcome for outcome in outcomes if isinstance(outcome, Settled)]
        charged = sum(end.charged for end in ends)
        assert await purses[0].balance() == Balance(
            unit=UNIT, granted=1000, available=1000 - charged, held=0, spent=charged, owed=0
        )
        assert len(ends) == 100
