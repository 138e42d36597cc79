"""A replicated store fails over, and its last writes are lost: what was held is charged once all the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, sidecar
from tests.support.buyers import Buyer
from tests.support.faults import Link, swallows, to_port, to_socket
from tests.support.ports import free_ports
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until_async, until_sync
from tests.support.upstream import Exchange, Gate, Upstream, after, answers

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def servers() -> Iterator[tuple[StoreServer, StoreServer]]:
    """Two servers, of which the first one listens on a port, too."""
    (port,) = free_ports(1)
    both = StoreServer("--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0", port=port), StoreServer()
    for server in both:
        server.start()
    yield both
    for server in both:
        server.remove()


class Replicated:
    """A primary and its replica; `link` leads processes to whoever is the primary."""

    def __init__(self, servers: tuple[StoreServer, StoreServer]) -> None:
        self._primary, self._replica = servers
        self._replication = Link(to_port(self._primary.port))
        self._stack = AsyncExitStack()
        self.link = Link(to_socket(self._primary.socket))

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.link.port}"

    async def open(self) -> None:
        await self._stack.enter_async_context(self.link)
        await self._stack.enter_async_context(self._replication)
        with self._replica.client() as client:
            client.replicaof("127.0.0.1", str(self._replication.port))
        await self.in_step()

    async def close(self) -> None:
        await self._stack.aclose()

    async def in_step(self) -> None:
        """Everything that the primary has, the replica has."""

        def wait() -> int:
            with self._primary.client() as client:
                # It waits for what the same client has written.
                client.set("step", 1)
                client.delete("step")
                replicas: int = client.wait(1, 100)
                return replicas

        async def same() -> bool:
            return await asyncio.to_thread(wait) == 1

        await until_async(same, "the replica to be in step")

    def stop_replicating(self) -> None:
        """What is written from now on reaches nobody."""
        self._replication.answers = swallows

    def fail_over(self) -> None:
        """The primary dies, the replica takes its place."""
        self._primary.kill()
        with self._replica.client() as client:
            client.replicaof("NO", "ONE")
            until_sync(lambda: client.info("replication")["role"] == "master", "the replica to take over")
        self.link.connect = to_socket(self._replica.socket)


@pytest_asyncio.fixture(loop_scope="session")
async def replicated(servers: tuple[StoreServer, StoreServer]) -> AsyncIterator[Replicated]:
    replicated = Replicated(servers)
    await replicated.open()
    yield replicated
    await replicated.close()


async def settled(running: Sidecar, buyer: Buyer, spent: int) -> None:
    async def there() -> bool:
        balance = await running.control.balance(buyer)
        return (balance.spent, balance.held) == (spent * CREDIT, 0)

    await until_async(there, f"{spent} to be spent, and nothing held")


async def test_lost_holds_are_charged_once_and_that_is_said(replicated: Replicated) -> None:
    gate = Gate()
    async with Upstream(answers()) as upstream, sidecar(upstream=upstream.url, store=replicated.url) as running:
        buyer = await running.control.buyer(10 * CREDIT)

        async def asked() -> int:
            return (await fetch(running.proxy_port, "GET", "/fixed/a", buyer.bearer)).status

        assert await asked() == 200
        upstream.script = after(gate)
        known = asyncio.ensure_future(asked())
        await gate.reached(1)
        await replicated.in_step()
        replicated.stop_replicating()
        lost = [asyncio.ensure_future(asked()) for _ in range(3)]
        await gate.reached(4)
        await asyncio.to_thread(replicated.fail_over)

        async def connected() -> bool:
            return await running.ready()

        await until_async(connected, "the process to find the new primary")
        gate.open()
        assert await asyncio.gather(known, *lost) == [200] * 4
        await settled(running, buyer, 5)

        page = (await fetch(running.control_port, "GET", "/metrics")).body.decode()
        assert "\nsidecar_charges_recovered_total 3.0\n" in page
        assert "\nsidecar_settlements_abandoned_total 0.0\n" in page
        assert running.output.count("was lost by the store; its charge") == 3
        entries = await running.control.ledger(buyer)
        charged = [entry["reservation_id"] for entry in entries if entry["type"] == "commit"]
        assert len(charged) == len(set(charged)) == 5
        assert sum("recovered=hold" in entry.get("usage", "") for entry in entries) == 3
        balance = await running.control.balance(buyer)
        assert (balance.available, balance.owed) == (5 * CREDIT, 0)
        await running.verify()


async def test_requests_that_go_on_after_it_are_held_again(replicated: Replicated) -> None:
    """Their next beat finds that the store does not know them."""
    gate = Gate()

    async def streams(exchange: Exchange) -> None:
        await gate.pause()
        await answers()(exchange)

    async with (
        Upstream(streams) as upstream,
        sidecar(upstream=upstream.url, store=replicated.url, timeouts__hold_ttl_s="1") as running,
    ):
        buyer = await running.control.buyer(10 * CREDIT)
        await replicated.in_step()
        replicated.stop_replicating()
        asking = asyncio.ensure_future(fetch(running.proxy_port, "GET", "/fixed/a", buyer.bearer))
        await gate.reached()
        await asyncio.to_thread(replicated.fail_over)

        async def held() -> bool:
            return await running.ready() and [
                hold["reservation_id"][-2:] for hold in await running.control.open_holds(buyer)
            ] == [".2"]

        await until_async(held, "it to be held again")
        gate.open()
        assert (await asking).status == 200
        await settled(running, buyer, 1)
        await running.verify()
