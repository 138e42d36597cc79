"""Requests with a key, of processes that die and whose store goes away: one charge, and no key locked for ever."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.e2e.house import CREDIT
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import Answer, fetch
from tests.support.store import StoreServer
from tests.support.until import until_async
from tests.support.upstream import Exchange, Gate, Upstream, answers

RULES = Path("tests/e2e/keyed.yaml")
PATHS = ("/once/a", "/replayed/a")
KEY = ("idempotency-key", "k1")


def process(upstream: Upstream, store: StoreServer, folder: Path) -> Sidecar:
    settings = {"store.timeout_s": "0.3", "timeouts.hold_ttl_s": "1"}
    return Sidecar("run", upstream=upstream.url, rules=[RULES], store=store.url, settings=settings, data_dir=folder)


async def ask(sidecar: Sidecar, buyer: Buyer, path: str) -> Answer:
    return await fetch(sidecar.proxy_port, "GET", path, buyer.bearer, KEY)


async def stands(sidecar: Sidecar, buyer: Buyer, spent: int) -> None:
    async def so() -> bool:
        balance = await sidecar.control.balance(buyer)
        return (balance.spent, balance.held) == (spent * CREDIT, 0)

    await until_async(so, f"{spent} to be spent, and nothing held")


@pytest.mark.parametrize("path", PATHS)
async def test_whose_process_died_is_told_to_wait_and_passes_when_its_hold_has_ended(
    durable: StoreServer, upstream: Upstream, tmp_path: Path, path: str
) -> None:
    gate = Gate()

    async def stuck(exchange: Exchange) -> None:
        await gate.pause()

    upstream.script = stuck
    async with process(upstream, durable, tmp_path) as first:
        buyer = await first.control.buyer(5 * CREDIT)
        asked = asyncio.ensure_future(ask(first, buyer, path))
        await gate.reached(1)
        running = await ask(first, buyer, path)
        assert (running.status, running.all("retry-after")) == (409, [b"1"])
        await first.stop(signal.SIGKILL)
        await asyncio.gather(asked, return_exceptions=True)
    gate.open()
    upstream.script = answers(b"done")
    async with process(upstream, durable, tmp_path) as second:
        waited = await ask(second, buyer, path)
        assert waited.status in {200, 409}

        async def passes() -> bool:
            return (await ask(second, buyer, path)).status == 200

        await until_async(passes, "the key to be free")
        assert (await ask(second, buyer, path)).status == 200
        await stands(second, buyer, 1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("gone", ["killed", "stopped"])
async def test_one_whose_store_goes_away_meanwhile_is_charged_once(
    durable: StoreServer, upstream: Upstream, tmp_path: Path, path: str, gone: str
) -> None:
    gate = Gate()

    async def late(exchange: Exchange) -> None:
        await gate.pause()
        await answers(b"first")(exchange)

    upstream.script = late
    async with process(upstream, durable, tmp_path) as sidecar:
        buyer = await sidecar.control.buyer(5 * CREDIT)
        asked = asyncio.ensure_future(ask(sidecar, buyer, path))
        await gate.reached(1)
        if gone == "killed":
            durable.kill()
        else:
            durable.pause()
        gate.open()
        first = await asked
        assert (first.status, first.body) == (200, b"first")
        # Nobody can say now whether this key was charged, so it must not pass.
        refused = await ask(sidecar, buyer, path)
        assert (refused.status, refused.all("retry-after")) == (503, [b"1"])
        assert len(upstream.requests) == 1
        if gone == "killed":
            durable.start()
        else:
            durable.resume()

        async def ready() -> bool:
            return (await fetch(sidecar.control_port, "GET", "/readyz")).status == 200

        await until_async(ready, "the store")
        await stands(sidecar, buyer, 1)
        upstream.script = answers(b"second")

        async def passes() -> bool:
            return (await ask(sidecar, buyer, path)).status == 200

        # Not after the 15 s for which a claim lasts that nobody takes back.
        async with asyncio.timeout(10):
            await until_async(passes, "the key to be free")
        await stands(sidecar, buyer, 1)
