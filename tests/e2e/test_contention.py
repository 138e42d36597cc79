"""Many requests, several processes, one purse: what it does not hold is never spent."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, House, ledgered, sidecar
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.until import until
from tests.support.upstream import Gate, after, answers

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proxies(whole_house: House) -> AsyncIterator[list[Sidecar]]:
    """Three `sidecar proxy` processes on the store of the house."""
    three = [sidecar("proxy", upstream=whole_house.upstream.url, store=whole_house.store.url) for _ in range(3)]
    try:
        await asyncio.gather(*(each.start() for each in three))
        yield three
    finally:
        await asyncio.gather(*(each.close() for each in three))


async def test_a_hundred_at_once_on_a_purse_for_five(house: House, proxies: list[Sidecar]) -> None:
    gate = Gate()

    house.upstream.script = after(gate)
    buyer = await house.control.buyer(5 * CREDIT)
    statuses: list[int] = []

    async def ask(proxy: Sidecar) -> None:
        statuses.append((await fetch(proxy.proxy_port, "GET", "/fixed/a", buyer.bearer)).status)

    hundred = [asyncio.ensure_future(ask(proxies[number % 3])) for number in range(100)]
    # While five are in flight their holds may still come back, so the others are told to try again, not to pay.
    await until(lambda: len(statuses) == 95, "95 refusals")
    assert set(statuses) == {429}
    gate.open()
    await asyncio.gather(*hundred)
    assert statuses[95:] == [200] * 5
    assert len(house.upstream.requests) == 5
    balance = await house.settled(buyer, spent=5 * CREDIT)
    assert balance.available == 0
    late = await fetch(proxies[0].proxy_port, "GET", "/fixed/a", buyer.bearer)
    assert (late.status, late.get("x-sidecar-refusal")) == (402, "insufficient_credits")


async def test_a_hundred_at_once_on_a_purse_that_was_never_filled(house: House, proxies: list[Sidecar]) -> None:
    buyer = await house.control.buyer(0)
    refused = await asyncio.gather(
        *(fetch(proxies[number % 3].proxy_port, "GET", "/fixed/a", buyer.bearer) for number in range(100))
    )
    assert {answer.status for answer in refused} == {402}
    assert house.upstream.requests == []


async def test_a_quick_upstream_changes_nothing(house: House, proxies: list[Sidecar]) -> None:
    """Nobody waits for anybody: whoever is refused is refused for good (402) or while holds are in flight (429)."""
    house.upstream.script = answers()
    buyer = await house.control.buyer(5 * CREDIT)
    hundred = await asyncio.gather(
        *(fetch(proxies[number % 3].proxy_port, "GET", "/fixed/a", buyer.bearer) for number in range(100))
    )
    statuses = Counter(answer.status for answer in hundred)
    assert statuses[200] == 5
    assert statuses.keys() <= {200, 402, 429}
    assert len(house.upstream.requests) == 5
    balance = await house.settled(buyer, spent=5 * CREDIT)
    assert await ledgered(house.control, buyer) == (balance, {"commit": 5})


async def test_a_key_revoked_through_one_process_is_refused_by_all(house: House, proxies: list[Sidecar]) -> None:
    house.upstream.script = answers()
    buyer = await house.control.buyer(9 * CREDIT)
    for proxy in proxies:
        assert (await fetch(proxy.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200
    await house.control.revoke(buyer)
    for proxy in proxies:
        assert (await fetch(proxy.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 401
    await house.settled(buyer, spent=3 * CREDIT)
