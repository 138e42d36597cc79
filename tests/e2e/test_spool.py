"""Real processes that are killed with charges that they could not deliver; others with their folder deliver them."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.spool.file import MAGIC, SUFFIX
from tests.cli.test_workers import workers
from tests.e2e.bridge import served, spent
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, Upstream, answers

BRIDGING = "tests/e2e/bridging.yaml"
CREDIT = 1_000_000


@pytest.fixture
def durable() -> Iterator[StoreServer]:
    # What it has acknowledged survives its being killed.
    server = StoreServer("--appendfsync", "always", append_only=True)
    server.start()
    yield server
    server.remove()


def kept_bytes(folder: Path) -> list[int]:
    """Of each file in which there are charges."""
    sizes = [file.stat().st_size - len(MAGIC) for file in folder.rglob(f"*{SUFFIX}")]
    return [size for size in sizes if size]


def process(upstream: str, store: str, folder: Path) -> Sidecar:
    """Each with the same folder for what is kept, as a restarted container."""
    settings = {"spool.dir": str(folder / "spool"), "store.timeout_s": "0.2"}
    return Sidecar(
        "run", upstream=upstream, rules=["tests/cli/rules.yaml"], store=store, settings=settings, data_dir=folder
    )


async def test_the_heir_of_a_killed_process_charges_what_was_answered(durable: StoreServer, tmp_path: Path) -> None:
    gate = Gate()

    async def late(exchange: Exchange) -> None:
        await gate.pause()
        await answers(b"paid")(exchange)

    async with Upstream(late) as upstream:
        first = process(upstream.url, durable.url, tmp_path)
        await first.start()
        buyer = await first.control.buyer(5 * CREDIT)
        asked = [asyncio.ensure_future(fetch(first.proxy_port, "GET", "/fixed/a", buyer.bearer)) for _ in range(3)]
        await upstream.arrived(3)
        durable.kill()
        gate.open()
        assert [(answer.status, answer.body) for answer in await asyncio.gather(*asked)] == [(200, b"paid")] * 3

        async def kept() -> bool:
            page = (await fetch(first.control_port, "GET", "/metrics")).body
            return b"\nsidecar_spool_records 3.0\n" in page

        await until_async(kept, "the charges to be kept")
        await first.stop(signal.SIGKILL)
        await first.close()
        durable.start()
        async with process(upstream.url, durable.url, tmp_path) as second:

            async def spent() -> bool:
                return (await second.control.balance(buyer)).spent == 3 * CREDIT

            await until_async(spent, "the charges to be delivered")
            balance = await second.control.balance(buyer)
            assert (balance.held, balance.available) == (0, 2 * CREDIT)
            await until(lambda: not kept_bytes(tmp_path), "the file to be deleted")


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at workers through /proc")
async def test_workers_charge_what_a_killed_one_of_them_has_served(
    durable: StoreServer, upstream: Upstream, tmp_path: Path
) -> None:
    """They share a folder: each charge of the one is made once, by whichever of the others comes first."""
    settings = {"spool.dir": str(tmp_path / "spool"), "store.timeout_s": "0.2"}
    async with (
        Sidecar("control", upstream="http://127.0.0.1:9", store=durable.url, rules=[BRIDGING]) as control,
        Sidecar(
            "proxy", upstream=upstream.url, rules=[BRIDGING], store=durable.url, settings=settings,
            arguments=["--workers", "2"],
        ) as proxy,
    ):  # fmt: skip
        buyer = await control.control.buyer(100 * CREDIT)
        # On a connection each, of which either worker takes its part.
        count = await served(proxy, "/allowed/a", buyer, 20)
        assert count == 20
        durable.kill()
        count += await served(proxy, "/allowed/a", buyer, 30)
        # Two files: the charges of each are its own.
        assert len(kept_bytes(tmp_path)) == 2
        before = workers(proxy)
        os.kill(min(before), signal.SIGKILL)
        await until(lambda: len(workers(proxy) - {min(before)}) == 2, "a worker in its place")
        durable.start()

        async def there() -> bool:
            return (await fetch(control.control_port, "GET", "/readyz")).status == 200

        await until_async(there, "the store")
        await spent(control, buyer, count)
        assert (await control.control.balance(buyer)).owed == 0
        entries = await control.control.ledger(buyer)
        assert sum("enforced=false" in entry.get("usage", "") for entry in entries) == count - 20
