"""A real process that is killed with a charge that it could not deliver; the next one with its folder delivers it."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.spool.file import MAGIC, SUFFIX
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, Upstream, answers

CREDIT = 1_000_000


@pytest.fixture
def durable() -> Iterator[StoreServer]:
    # What it has acknowledged survives its being killed.
    server = StoreServer("--appendfsync", "always", append_only=True)
    server.start()
    yield server
    server.remove()


def kept_bytes(folder: Path) -> int:
    return sum(file.stat().st_size - len(MAGIC) for file in folder.rglob(f"*{SUFFIX}"))


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
