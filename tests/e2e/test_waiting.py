"""Honest calls whose holds do not fit at once: through several processes, and when one of them is killed."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, House
from tests.support.books import Purse, open_lane
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.processes import in_queue
from tests.support.rawhttp import Answer, fetch
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, answers

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = Path(__file__).parent / "waiting.yaml"
CENT = CREDIT // 100
CALLS, FIT = 20, 8


def proxy(house: House) -> Sidecar:
    return Sidecar("proxy", upstream=house.upstream.url, rules=[RULES], store=house.store.url)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxies(whole_house: House) -> AsyncIterator[list[Sidecar]]:
    """Two `sidecar proxy` processes on the store of the house."""
    two = [proxy(whole_house) for _ in range(2)]
    try:
        await asyncio.gather(*(each.start() for each in two))
        yield two
    finally:
        await asyncio.gather(*(each.close() for each in two))


class Calls:
    """Calls of one buyer; the upstream answers none before `gate` is open, and says that each cost 2 cents."""

    def __init__(self, house: House, buyer: Buyer) -> None:
        self.gate = Gate()
        self._buyer = buyer
        self.ended: list[Answer] = []
        house.upstream.script = self._served

    async def _served(self, exchange: Exchange) -> None:
        await self.gate.pause()
        await answers(b"ok", ("x-cents", "2"))(exchange)

    async def call(self, proxy: Sidecar, path: str) -> Answer:
        answer = await fetch(proxy.proxy_port, "GET", path, self._buyer.bearer)
        self.ended.append(answer)
        return answer

    def many(self, proxies: list[Sidecar], path: str) -> Awaitable[list[Answer]]:
        return asyncio.gather(*(self.call(proxies[number % 2], path) for number in range(CALLS)))


async def test_twenty_calls_that_may_cost_3_and_cost_2_cents(house: House, proxies: list[Sidecar]) -> None:
    """On a balance of 25."""
    buyer = await house.control.buyer(25 * CREDIT)
    calls = Calls(house, buyer)
    all_of_them = asyncio.ensure_future(calls.many(proxies, "/patient"))
    await calls.gate.reached(FIT)
    assert len(house.upstream.requests) == FIT
    calls.gate.open()
    assert [answer.status for answer in await all_of_them] == [200] * CALLS
    assert (await house.settled(buyer, spent=CALLS * 2 * CENT)).available == 25 * CREDIT - CALLS * 2 * CENT


async def test_without_waiting_exactly_eight_are_served(house: House, proxies: list[Sidecar]) -> None:
    buyer = await house.control.buyer(25 * CREDIT)
    calls = Calls(house, buyer)
    all_of_them = asyncio.ensure_future(calls.many(proxies, "/hasty"))
    await until(lambda: len(calls.ended) == CALLS - FIT, "all others to be refused")
    calls.gate.open()
    found = await all_of_them
    assert Counter((answer.status, answer.get("x-sidecar-refusal")) for answer in found) == {
        (200, None): FIT,
        (429, "holds_in_flight"): CALLS - FIT,
    }
    await house.settled(buyer, spent=FIT * 2 * CENT)


async def queued(store: StoreServer, buyer: Buyer, count: int) -> None:
    """Wait until so many requests of the buyer stand in its queue."""
    async with open_lane(store.url) as lane:
        purse = Purse(lane, buyer.customer_id, buyer.external_id)

        async def there() -> bool:
            return await in_queue(purse) == count

        await until_async(there, f"{count} in the queue")


async def test_a_process_that_is_killed_while_its_requests_wait_holds_nobody_up(
    house: House, proxies: list[Sidecar]
) -> None:
    buyer = await house.control.buyer(4 * CREDIT)
    calls = Calls(house, buyer)
    doomed = proxy(house)
    await doomed.start()
    first = asyncio.ensure_future(calls.call(proxies[0], "/very-patient"))
    await calls.gate.reached()
    lost = asyncio.ensure_future(calls.call(doomed, "/very-patient"))
    await queued(house.store, buyer, 1)
    waiting = [asyncio.ensure_future(calls.call(each, "/very-patient")) for each in proxies]
    await queued(house.store, buyer, 3)
    await doomed.close(signal.SIGKILL)
    calls.gate.open()
    async with asyncio.timeout(20):
        assert [answer.status for answer in await asyncio.gather(first, *waiting)] == [200] * 3
    await asyncio.gather(lost, return_exceptions=True)
    await house.settled(buyer, spent=6 * CENT)
    assert len(house.upstream.requests) == 3


async def test_a_client_that_goes_while_it_waits_is_forgotten(house: House, proxies: list[Sidecar]) -> None:
    buyer = await house.control.buyer(3 * CREDIT)
    calls = Calls(house, buyer)
    first = asyncio.ensure_future(calls.call(proxies[0], "/very-patient"))
    await calls.gate.reached()
    gone = asyncio.ensure_future(calls.call(proxies[1], "/very-patient"))
    await queued(house.store, buyer, 1)
    gone.cancel()
    await queued(house.store, buyer, 0)
    calls.gate.open()
    assert (await first).status == 200
    await house.settled(buyer, spent=2 * CENT)
    assert len(house.upstream.requests) == 1
