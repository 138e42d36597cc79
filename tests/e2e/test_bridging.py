"""Real processes whose store goes away: who serves whom meanwhile, and what the books say when it is back."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.e2e.house import CREDIT
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until_async
from tests.support.upstream import Upstream, answers

GRANTED = 100


@pytest.fixture
def durable() -> Iterator[StoreServer]:
    # What it has acknowledged survives its being killed.
    server = StoreServer("--appendfsync", "always", append_only=True)
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(answers(b"done")) as upstream:
        yield upstream


def process(upstream: Upstream, store: StoreServer, folder: Path, **settings: str) -> Sidecar:
    folder.mkdir(exist_ok=True)
    named = {"store.timeout_s": "0.2", "spool.dir": str(folder / "spool"), "leases.share": "0.2"} | settings
    return Sidecar(
        "run", upstream=upstream.url, rules=["tests/e2e/bridging.yaml"], store=store.url, settings=named,
        data_dir=folder,
    )  # fmt: skip


async def metric(sidecar: Sidecar, name: str) -> float:
    page = (await fetch(sidecar.control_port, "GET", "/metrics")).body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(name))


async def served(sidecar: Sidecar, path: str, buyer: Buyer, count: int) -> int:
    """How many of so many requests, one after the other, are answered by the upstream; the others get 503."""
    statuses = [(await fetch(sidecar.proxy_port, "GET", path, buyer.bearer)).status for _ in range(count)]
    assert set(statuses) <= {200, 503}
    return statuses.count(200)


async def gone(sidecar: Sidecar, store: StoreServer) -> None:
    store.kill()

    async def noticed() -> bool:
        return await metric(sidecar, "sidecar_store_connected") == 0

    await until_async(noticed, "the process to notice")
    # Or nobody would send it requests any more.
    assert (await fetch(sidecar.control_port, "GET", "/readyz")).status == 200


async def spent(sidecar: Sidecar, buyer: Buyer, count: int) -> None:
    async def charged() -> bool:
        balance = await sidecar.control.balance(buyer)
        return (balance.spent, balance.held) == (count * CREDIT, 0)

    await until_async(charged, f"{count} to be spent, and nothing held")


async def test_allowed_requests_are_charged_by_the_heir_of_a_killed_process(
    durable: StoreServer, upstream: Upstream, tmp_path: Path
) -> None:
    first = process(upstream, durable, tmp_path)
    await first.start()
    buyer, stranger = await first.control.buyer(GRANTED * CREDIT), await first.control.buyer(GRANTED * CREDIT)
    assert await served(first, "/allowed/a", buyer, 1) == 1
    await gone(first, durable)
    assert await served(first, "/denied/a", buyer, 1) == 0
    assert await served(first, "/allowed/a", stranger, 1) == 0
    assert await served(first, "/allowed/a", buyer, 25) == 20
    assert await metric(first, "sidecar_overspend_bound_base_units") == 20 * CREDIT
    assert await metric(first, 'sidecar_bridged_requests_total{way="allow"}') == 20
    await first.stop(signal.SIGKILL)
    await first.close()
    durable.start()
    async with process(upstream, durable, tmp_path) as second:
        await spent(second, buyer, 21)
        assert await metric(second, "sidecar_spool_replayed_total") == 20
        assert await metric(second, "sidecar_overspend_base_units_total") == 0
        entries = await second.control.ledger(buyer)
        assert sum("enforced=false" in entry.get("usage", "") for entry in entries) == 20


async def test_three_processes_spend_no_more_than_they_have_on_lease(
    durable: StoreServer, upstream: Upstream, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        three = [process(upstream, durable, tmp_path / name) for name in ("a", "b", "c")]
        for each in three:
            await stack.enter_async_context(each)
        first = three[0]
        buyer = await first.control.buyer(GRANTED * CREDIT)
        before = sum([await served(each, "/leased/a", buyer, 2) for each in three])

        async def all_leased() -> bool:
            return all([await metric(each, "sidecar_leases ") == 1 for each in three])

        await until_async(all_leased, "each to have a lease")
        load = [asyncio.ensure_future(served(each, "/leased/a", buyer, 100)) for each in three]
        await upstream.arrived(10)
        durable.kill()
        admitted = before + sum(await asyncio.gather(*load))
        assert before < admitted <= GRANTED
        dead = three[2]
        await dead.stop(signal.SIGKILL)
        durable.start()
        # Its folder is found by a process in its place.
        heir = await stack.enter_async_context(process(upstream, durable, tmp_path / "c"))

        async def charged() -> bool:
            return (await heir.control.balance(buyer)).spent == admitted * CREDIT

        await until_async(charged, "each answered request to be charged once")
        balance = await heir.control.balance(buyer)
        assert (balance.owed, balance.available + balance.held) == (0, (GRANTED - admitted) * CREDIT)
        assert await metric(first, "sidecar_overspend_base_units_total") == 0


async def test_leases_come_back_when_the_process_ends(
    durable: StoreServer, upstream: Upstream, tmp_path: Path
) -> None:
    async with process(upstream, durable, tmp_path / "a") as first:
        buyer = await first.control.buyer(GRANTED * CREDIT)
        assert await served(first, "/leased/a", buyer, 3) == 3

        async def leased() -> bool:
            return await metric(first, "sidecar_leased_base_units") > 0

        await until_async(leased, "a lease")
        assert (await first.control.balance(buyer)).held > 0
    async with process(upstream, durable, tmp_path / "b") as second:
        await spent(second, buyer, 3)
