"""Jobs that an upstream accepts and settles later, by the real processes: also over restarts, and new prices."""

import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import CREDIT
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import Answer, fetch
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Upstream, answers

RULES = Path("tests/e2e/deferred.yaml")
WRITTEN = RULES.read_text()
GRANTED = 200


@pytest.fixture
def durable() -> Iterator[StoreServer]:
    server = StoreServer("--appendfsync", "always", append_only=True)
    server.start()
    yield server
    server.remove()


class Farm:
    """An upstream that accepts jobs, or does small ones at once; `tokens` are those of the jobs that it accepted."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.status = 202
        self.polled: list[bytes] = []
        self.state = b'{"status": "running"}'

    async def __call__(self, exchange: Exchange) -> None:
        if exchange.request.target.startswith(b"/jobs/"):
            self.polled.append(exchange.request.target)
            await answers(self.state, ("Content-Type", "application/json"))(exchange)
            return
        await exchange.body()
        request = exchange.request
        self.tokens.append((request.get(b"x-settle-token") or b"").decode())
        assert (request.get(b"x-reservation-id") or b"").startswith(b"rsv_")
        body = b'{"id": "job_1"}'
        reason = b"Accepted" if self.status == 202 else b"OK"
        head = b"HTTP/1.1 %d %b\r\nx-settle-token: %b\r\nx-gpu-ms: 7\r\ncontent-length: %d\r\n\r\n"
        await exchange.send(head % (self.status, reason, self.tokens[-1].encode(), len(body)) + body)


@pytest.fixture
def farm() -> Farm:
    return Farm()


@pytest.fixture
async def upstream(farm: Farm) -> AsyncIterator[Upstream]:
    async with Upstream(farm) as upstream:
        yield upstream


def process(upstream: Upstream, store: StoreServer, folder: Path, rules: Path = RULES) -> Sidecar:
    folder.mkdir(exist_ok=True)
    settings = {"timeouts.hold_ttl_s": "1"}
    return Sidecar("run", upstream=upstream.url, rules=[rules], store=store.url, settings=settings, data_dir=folder)


async def ask(sidecar: Sidecar, buyer: Buyer, size: str = "large") -> Answer:
    body = json.dumps({"size": size}).encode()
    forged = ("x-settle-token", "settle.forged.x")
    return await fetch(sidecar.proxy_port, "POST", "/jobs", buyer.bearer, forged, body=body)


async def settle(sidecar: Sidecar, token: str, **said: Any) -> Answer:
    body = json.dumps({"token": token, **said}).encode()
    return await fetch(sidecar.control_port, "POST", "/v1/settlements", body=body)


async def stands(sidecar: Sidecar, buyer: Buyer) -> tuple[int, int]:
    balance = await sidecar.control.balance(buyer)
    return balance.held // CREDIT, balance.spent // CREDIT


async def test_a_job_is_settled_by_its_upstream_after_a_restart_with_other_prices(
    durable: StoreServer, upstream: Upstream, farm: Farm, tmp_path: Path
) -> None:
    async with process(upstream, durable, tmp_path) as first:
        buyer = await first.control.buyer(GRANTED * CREDIT)
        answer = await ask(first, buyer)
        assert (answer.status, answer.body) == (202, b'{"id": "job_1"}')
        assert answer.all("x-settle-token") == []
        assert answer.all("x-credits-charged") == []
        assert await stands(first, buyer) == (50, 0)
        assert farm.tokens[0] != "settle.forged.x"
        await first.stop(signal.SIGKILL)
    dearer = tmp_path / "dearer.yaml"
    dearer.write_text(WRITTEN.replace("gpu_ms: 3", "gpu_ms: 30"))
    async with process(upstream, durable, tmp_path, dearer) as second:
        # Longer than any hold of a request would live.
        assert await stands(second, buyer) == (50, 0)
        for _ in range(2):
            done = await settle(second, farm.tokens[0], usage={"gpu_ms": 10})
            assert (done.status, json.loads(done.body)["charged"]) == (200, 31 * CREDIT)
        assert await stands(second, buyer) == (0, 31)
        assert (await settle(second, farm.tokens[0], usage={"gpu_ms": 11})).status == 409
        (entry,) = [each for each in await second.control.ledger(buyer) if each.get("usage")]
        assert (entry["rule"], entry["usage"]) == ("render", 'gpu_ms=10 request.size="large"')


async def test_a_job_that_failed_costs_nothing(
    durable: StoreServer, upstream: Upstream, farm: Farm, tmp_path: Path
) -> None:
    async with process(upstream, durable, tmp_path) as sidecar:
        buyer = await sidecar.control.buyer(GRANTED * CREDIT)
        await ask(sidecar, buyer)
        done = await settle(sidecar, farm.tokens[0], failed=True)
        assert (done.status, json.loads(done.body)["status"]) == (200, "released")
        assert await stands(sidecar, buyer) == (0, 0)


async def test_what_is_done_at_once_is_charged_at_once(
    durable: StoreServer, upstream: Upstream, farm: Farm, tmp_path: Path
) -> None:
    farm.status = 200
    async with process(upstream, durable, tmp_path) as sidecar:
        buyer = await sidecar.control.buyer(GRANTED * CREDIT)
        answer = await ask(sidecar, buyer, "small")
        assert (answer.status, answer.all("x-credits-charged")) == (200, [b"%d" % (7 * CREDIT)])
        assert (await settle(sidecar, farm.tokens[0], usage={"gpu_ms": 1})).status == 409


async def test_a_job_that_nobody_settles_comes_back(
    durable: StoreServer, upstream: Upstream, farm: Farm, tmp_path: Path
) -> None:
    brief = tmp_path / "brief.yaml"
    brief.write_text(WRITTEN.replace("settle: later", "settle: {within: 2s}"))
    async with process(upstream, durable, tmp_path, brief) as sidecar:
        buyer = await sidecar.control.buyer(GRANTED * CREDIT)
        await ask(sidecar, buyer)

        async def back() -> bool:
            return await stands(sidecar, buyer) == (0, 0)

        await until_async(back, "the hold to come back")
        late = await settle(sidecar, farm.tokens[0], usage={"gpu_ms": 1})
        assert (late.status, json.loads(late.body)["charged"]) == (200, 4 * CREDIT)


async def test_a_job_is_asked_for_also_by_another_process(
    durable: StoreServer, upstream: Upstream, farm: Farm, tmp_path: Path
) -> None:
    async with process(upstream, durable, tmp_path) as first:
        buyer = await first.control.buyer(GRANTED * CREDIT)
        answer = await fetch(first.proxy_port, "POST", "/polled", buyer.bearer, body=b"{}")
        assert (answer.status, answer.body) == (202, b'{"id": "job_1"}')
        await until(lambda: farm.polled, "a poll")
        assert farm.polled[0] == b"/jobs/job_1"
        assert await stands(first, buyer) == (50, 0)
        await first.stop(signal.SIGKILL)
    farm.state = b'{"status": "succeeded", "usage": {"gpu_ms": 30}}'
    async with process(upstream, durable, tmp_path) as second:

        async def charged() -> bool:
            return await stands(second, buyer) == (0, 30)

        await until_async(charged, "the job to be charged")
