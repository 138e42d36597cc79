"""Processes that die and a store that goes away: nothing is charged twice, nothing is lost, nothing stays held."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
import redis

from tests.e2e.house import CREDIT, House, ledgered, sidecar
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import Answer, fetch
from tests.support.store import StoreServer
from tests.support.until import until
from tests.support.upstream import WAIT_S, Exchange, Gate, after, answers

pytestmark = pytest.mark.asyncio(loop_scope="session")

IN_FLIGHT = 50


async def test_kill_9_with_fifty_requests_in_flight(house: House) -> None:
    """The house's own process, on the same store, sweeps what the dead one held."""
    gate = Gate()

    async def stuck(exchange: Exchange) -> None:
        await gate.pause()

    buyer = await house.control.buyer(100 * CREDIT)
    doomed = sidecar("proxy", upstream=house.upstream.url, store=house.store.url, timeouts__hold_ttl_s="1")
    async with doomed:
        house.upstream.script = answers()
        for _ in range(10):
            assert (await fetch(doomed.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200
        house.upstream.script = stuck
        requests = [
            asyncio.ensure_future(fetch(doomed.proxy_port, "GET", "/fixed/a", buyer.bearer)) for _ in range(IN_FLIGHT)
        ]
        await gate.reached(IN_FLIGHT)
        assert await doomed.stop(signal.SIGKILL) == -signal.SIGKILL
        failed = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(each, ConnectionError) for each in failed)
    balance = await house.settled_later(buyer)
    assert (balance.available, balance.spent, balance.owed) == (90 * CREDIT, 10 * CREDIT, 0)
    assert await ledgered(house.control, buyer) == (balance, {"commit": 10, "hold_expiry": IN_FLIGHT})
    gate.open()


async def test_kill_9_leaves_no_part_of_an_allowance_claimed(house: House) -> None:
    """Ten are free. Eight are used; two more, and the five that the credit covers, are under way when it dies."""
    gate = Gate()

    async def stuck(exchange: Exchange) -> None:
        await gate.pause()

    buyer = await house.control.buyer(5 * CREDIT)
    doomed = sidecar("proxy", upstream=house.upstream.url, store=house.store.url, timeouts__hold_ttl_s="1")
    async with doomed:
        house.upstream.script = answers()
        for _ in range(8):
            assert (await fetch(doomed.proxy_port, "POST", "/counted/a", buyer.bearer, body=b"{}")).status == 200
        house.upstream.script = stuck
        requests = [
            asyncio.ensure_future(fetch(doomed.proxy_port, "POST", "/counted/a", buyer.bearer, body=b"{}"))
            for _ in range(20)
        ]
        await gate.reached(7)
        await until(lambda: sum(each.done() for each in requests) == 13, "the others to be refused")
        assert await counter(house, buyer) == (8, 7)
        await doomed.stop(signal.SIGKILL)
        answered = await asyncio.gather(*requests, return_exceptions=True)
        assert sum(isinstance(each, ConnectionError) for each in answered) == 7
    gate.open()
    balance = await house.settled_later(buyer)
    assert (balance.available, balance.spent) == (5 * CREDIT, 0)
    assert await counter(house, buyer) == (8, 0)

    house.upstream.script = answers()
    statuses = [(await fetch(house.port, "POST", "/counted/a", buyer.bearer, body=b"{}")).status for _ in range(8)]
    assert statuses == [200] * 7 + [402]
    assert (await house.settled_later(buyer)).spent == 5 * CREDIT
    assert await counter(house, buyer) == (15, 0)
    entries = await house.control.ledger(buyer)
    counted = sorted(each["position"] for entry in entries for each in entry.get("counted", ()))
    assert counted == list(range(1, 16))


async def counter(house: House, buyer: Buyer) -> tuple[int, int]:
    """The position of the buyer's one counter, and what is held of it."""
    (shown,) = (await house.control.call("GET", f"/v1/customers/{buyer.customer_id}/counters"))["counters"]
    return shown["position"], shown["held"]


@pytest.fixture
def durable() -> Iterator[StoreServer]:
    """A store of its own that keeps what it acknowledged."""
    store = StoreServer(append_only=True)
    store.start()
    yield store
    store.remove()


class Load:
    """Clients that ask as fast as they are answered, until they are told to stop."""

    def __init__(self, running: Sidecar, buyer: Buyer, clients: int = 8) -> None:
        self.answers: list[Answer] = []
        self._running = running
        self._buyer = buyer
        self._stopping = False
        self._clients = [asyncio.ensure_future(self._ask()) for _ in range(clients)]

    def count(self, status: int) -> int:
        return sum(answer.status == status for answer in self.answers)

    async def more(self, status: int, by: int) -> None:
        """Wait for `by` further answers with `status`."""
        wanted = self.count(status) + by
        await until(lambda: self.count(status) >= wanted, f"{by} answers {status}")

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._clients)

    async def _ask(self) -> None:
        while not self._stopping:
            self.answers.append(await fetch(self._running.proxy_port, "GET", "/fixed/a", self._buyer.bearer))


async def test_the_store_stops_and_starts_again_under_load(house: House, durable: StoreServer) -> None:
    house.upstream.script = answers()
    async with sidecar(upstream=house.upstream.url, store=durable.url, store__timeout_s="0.3") as running:
        control = running.control
        buyer = await control.buyer(1_000_000 * CREDIT)
        load = Load(running, buyer)
        await load.more(200, by=100)
        await asyncio.to_thread(durable.stop)
        await load.more(503, by=20)
        assert not await running.ready()
        reached = len(house.upstream.requests)
        await load.more(503, by=20)
        assert len(house.upstream.requests) == reached, "without a store nothing reaches the upstream"
        await asyncio.to_thread(durable.start)
        await load.more(200, by=100)
        await load.stop()
        assert await running.ready()

        balance = await House(durable, house.upstream, running, house.models).settled_later(buyer)
        told, outcomes = await ledgered(control, buyer)
    assert {answer.status for answer in load.answers} == {200, 503}
    refused = [answer for answer in load.answers if answer.status == 503]
    assert {answer.get("x-sidecar-refusal") for answer in refused} == {"store_unavailable"}
    assert all(int(answer.get("retry-after") or 0) >= 1 for answer in refused)
    assert (balance.spent, balance.owed) == (load.count(200) * CREDIT, 0)
    assert len(house.upstream.requests) == load.count(200)
    assert told == balance
    assert outcomes["commit"] == load.count(200)


async def test_a_store_that_freezes_is_a_503_in_time_and_leaves_no_hold(house: House, durable: StoreServer) -> None:
    """Worse than gone: it takes the command, does not answer, and executes it later."""
    house.upstream.script = answers()
    async with sidecar(upstream=house.upstream.url, store=durable.url, store__timeout_s="0.3") as running:
        buyer = await running.control.buyer(10 * CREDIT)
        assert (await fetch(running.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200
        house.upstream.forget()
        durable.pause()
        try:
            answer = await fetch(running.proxy_port, "GET", "/fixed/a", buyer.bearer)
        finally:
            durable.resume()
        assert (answer.status, answer.get("x-sidecar-refusal")) == (503, "store_unavailable")
        assert house.upstream.requests == []
        balance = await House(durable, house.upstream, running, house.models).settled_later(buyer)
        assert (balance.available, balance.spent) == (9 * CREDIT, CREDIT)


async def test_a_commit_that_meets_a_frozen_store_is_charged_once(house: House, durable: StoreServer) -> None:
    gate = Gate()

    house.upstream.script = after(gate)
    async with sidecar(upstream=house.upstream.url, store=durable.url, store__timeout_s="0.3") as running:
        buyer = await running.control.buyer(10 * CREDIT)
        request = asyncio.ensure_future(fetch(running.proxy_port, "GET", "/fixed/a", buyer.bearer))
        await gate.reached()
        durable.pause()
        try:
            gate.open()
            answer = await request
        finally:
            durable.resume()
        # The caller has its answer, though nobody could tell yet what is left.
        assert (answer.status, answer.body) == (200, b"ok")
        balance = await House(durable, house.upstream, running, house.models).settled_later(buyer)
        assert (balance.available, balance.spent) == (9 * CREDIT, CREDIT)
        assert await ledgered(running.control, buyer) == (balance, {"commit": 1})


async def test_the_bundled_store_and_its_owner_are_killed_and_nothing_is_lost(house: House) -> None:
    house.upstream.script = answers()
    async with sidecar(upstream=house.upstream.url, store=None) as running:
        buyer = await running.control.buyer(10 * CREDIT)
        assert (await fetch(running.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200

        os.kill(_bundled_pid(running), signal.SIGKILL)
        await _served_again(running, buyer)
        balance = await running.control.balance(buyer)
        assert (balance.available, balance.spent) == (8 * CREDIT, 2 * CREDIT)

        orphan = _bundled_pid(running)
        await running.stop(signal.SIGKILL)
        await until(lambda: not _alive(orphan), "the bundled store to end with its owner")
        await running.start()
        assert await running.control.balance(buyer) == balance


def _bundled_pid(running: Sidecar) -> int:
    with redis.Redis(unix_socket_path=str(running.data_dir / "store.sock")) as client:
        return int(client.info("server")["process_id"])


def _alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def _served_again(running: Sidecar, buyer: Buyer) -> None:
    """Repeat one request until it is not answered 503."""
    async with asyncio.timeout(WAIT_S):
        while (answer := await fetch(running.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 503:
            assert answer.get("retry-after")
    assert answer.status == 200
