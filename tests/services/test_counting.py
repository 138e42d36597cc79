"""Amounts that depend on counters: right where they stand, found again where they moved, never spent twice."""

import asyncio

import pytest

from sidecar.domain.counted_quotes import Claims, CountedQuoter
from sidecar.domain.counters import Advance, Counting, Over, Stand
from sidecar.domain.errors import StoreUnavailable
from sidecar.domain.hold_terms import Term
from sidecar.domain.metering import Meters
from sidecar.domain.outcomes import CountersMoved, Refused
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_schedule import Tier, price_of
from sidecar.domain.quotes import Quote
from sidecar.domain.request_facts import RequestFacts
from sidecar.services import counting
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.outage import Outage
from sidecar.services.pressure import Pressure
from sidecar.services.queue import Queue
from sidecar.store.counters import Counters
from sidecar.store.lane import Lane
from sidecar.tasks import Tasks
from tests.support.books import ENVIRONMENT, SOURCE, TENANT, UNIT, USAGE, Purse, open_lane, open_purse
from tests.support.sums import assert_right

ALLOWANCE = 10
NO_FIELDS: dict[bytes, bytes] = {}


def quote() -> Quote:
    """For one page of which ten are free, and the others cost 7 each."""
    schedule = CountedSchedule(
        meters=("pages",), tiers=(Tier(None, 7),), free=ALLOWANCE, counting=Counting("pages", Over.EVER)
    )
    price = price_of({}, schedules=[schedule])
    meters = Meters(headers=(("pages", b"x-pages"),))
    quoter = CountedQuoter(meters=meters, price=price, hold={"pages": Term.parse("1")}, now_s=lambda: 0.0)
    found = quoter.quote(RequestFacts(NO_FIELDS, b"/", b"", b"", 0))
    assert isinstance(found, Quote)
    return found


def holds_of(purse: Purse) -> Holds:
    pressure = Pressure(purse.journal, max_entries=1_000_000)
    tasks = Tasks()
    queue = Queue(purse.lane, purse.ledger, waiting_max=10, account_max=5, tasks=tasks)
    return Holds(purse.ledger, pressure, queue, Outage(purse.lane, tasks), ttl_s=60, timeout_s=5, tasks=tasks)


async def take(holds: Holds, purse: Purse) -> Hold | Refused:
    return await holds.take(purse.customer_id, purse.credential, UNIT, 0, "", "a-rule", claims=Claims(quote()))


async def commit(holds: Holds, hold: Hold, pages: int = 1) -> int:
    charge = quote().known({"pages": pages})
    done = await holds.commit(hold, charge.amount, USAGE, SOURCE, charge.counted)
    assert done is not None
    return done.charged


async def stand(purse: Purse) -> Stand:
    (state,) = await Counters(purse.lane, tenant=TENANT, environment=ENVIRONMENT).of(purse.payer_id)
    return state.stand


@pytest.mark.parametrize(("granted", "fit"), [(0, 10), (20, 12), (21, 13)])
async def test_as_many_as_the_allowance_and_the_balance_let(
    lane: Lane, store_url: str, granted: int, fit: int
) -> None:
    """A hundred at once, through three connections that know nothing of each other."""
    purse = await open_purse(lane, granted=granted)
    async with open_lane(store_url) as second, open_lane(store_url) as third:
        purses = [purse, purse.elsewhere(second), purse.elsewhere(third)]
        holds = [holds_of(each) for each in purses]
        taken = await asyncio.gather(*(take(holds[n % 3], purses[n % 3]) for n in range(100)))
        held = [(holds[n % 3], hold) for n, hold in enumerate(taken) if isinstance(hold, Hold)]
        assert len(held) == fit
        assert await stand(purse) == Stand(0, fit)
        # The dear ones end first.
        charged = await asyncio.gather(*(commit(each, hold) for each, hold in reversed(held)))
    assert sum(charged) == 7 * (fit - ALLOWANCE)
    assert await stand(purse) == Stand(fit)
    await assert_right(purse)


async def test_others_are_counted_first(lane: Lane) -> None:
    """One process knows nothing of what another has counted."""
    purse = await open_purse(lane, granted=1000)
    mine, other = holds_of(purse), holds_of(purse)
    for pages in (6, 6):
        hold = await take(other, purse)
        assert isinstance(hold, Hold)
        await commit(other, hold, pages)
    hold = await take(mine, purse)
    assert isinstance(hold, Hold)
    assert (hold.held, hold.stands) == (7, (Stand(12, 1),))
    assert await commit(mine, hold, 3) == 21


async def test_what_is_free_again_is_not_refused(lane: Lane) -> None:
    """A process that saw the allowance held by others asks again when it is refused for that."""
    purse = await open_purse(lane)
    mine, other = holds_of(purse), holds_of(purse)
    taken = [await take(other, purse) for _ in range(ALLOWANCE)]
    assert isinstance(await take(mine, purse), Refused)
    for hold in taken:
        assert isinstance(hold, Hold)
        await other.release(hold, "")
    assert isinstance(await take(mine, purse), Hold)


async def test_counters_that_never_stand_still(lane: Lane) -> None:
    purse = await open_purse(lane)

    async def ask(amount: int, advances: tuple[Advance, ...]) -> CountersMoved:
        return CountersMoved((Stand(amount, advances[0].units),))

    with pytest.raises(StoreUnavailable, match="moved 100 times"):
        await counting.Counting(purse.ledger).take(purse.customer_id, Claims(quote()), ask)
