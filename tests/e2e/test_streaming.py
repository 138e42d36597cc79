"""Bodies that are larger than the memory they may take, and readers that are slower than the writers."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, House, sidecar
from tests.support.process import Sidecar
from tests.support.rawhttp import RawClient, request
from tests.support.upstream import Exchange, Upstream, answers, chunk, head

pytestmark = pytest.mark.asyncio(loop_scope="session")

SIZE = 160 << 20
"""Sockets alone may hold a quarter of it."""
PIECE = bytes(range(256)) * 256
GROWTH_MAX_BYTES = 16 << 20
"""So much larger than before the process may become: a tenth of the body."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def slow_upstream() -> AsyncIterator[Upstream]:
    """One whose socket takes little ahead of its script."""
    async with Upstream(receive_buffer_bytes=1 << 20) as upstream:
        yield upstream


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(whole_house: House, slow_upstream: Upstream) -> AsyncIterator[Sidecar]:
    async with sidecar(
        upstream=slow_upstream.url, store=whole_house.store.url, limits__body_max_bytes=str(SIZE)
    ) as process:
        yield process


class Progress:
    """How far a sender has come."""

    def __init__(self) -> None:
        self.sent = 0

    async def stalled(self) -> None:
        """Wait until it comes no further, which is when back-pressure has reached the sender.

        Were there none, the rest would be in the proxy's memory by then: its peak is what the tests look at.
        """
        last = -1
        while self.sent != last:
            last = self.sent
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_a_client_that_reads_late_holds_the_upstream_back(
    house: House, running: Sidecar, slow_upstream: Upstream, chunked: bool
) -> None:
    progress, before = Progress(), running.peak_bytes

    async def flood(exchange: Exchange) -> None:
        framing = ("transfer-encoding", "chunked") if chunked else ("content-length", str(SIZE))
        await exchange.send(head(200, framing))
        while progress.sent < SIZE:
            await exchange.send(chunk(PIECE) if chunked else PIECE)
            progress.sent += len(PIECE)
        await exchange.send(chunk(b"") if chunked else b"")

    slow_upstream.once(flood)
    buyer = await house.control.buyer(CREDIT)
    async with RawClient(running.proxy_port, receive_buffer_bytes=1 << 20) as client:
        await client.send(request("GET", "/fixed/a", buyer.bearer))
        await client.receive(until=b"\r\n\r\n")
        await progress.stalled()
        if chunked:
            await client.skip_to(b"\r\n0\r\n\r\n")
        else:
            await client.skip(SIZE)
    assert running.peak_bytes < before + GROWTH_MAX_BYTES
    await house.settled_later(buyer)


async def test_an_upstream_that_reads_late_holds_the_client_back(
    house: House, running: Sidecar, slow_upstream: Upstream
) -> None:
    progress, may_read, before = Progress(), asyncio.Event(), running.peak_bytes
    digest = hashlib.sha256()

    async def reads_late(exchange: Exchange) -> None:
        await may_read.wait()
        left = SIZE
        while left:
            data = await exchange.read(left)
            digest.update(data)
            left -= len(data)
        exchange.request.complete = True
        await answers()(exchange)

    slow_upstream.once(reads_late)
    buyer = await house.control.buyer(CREDIT)

    async def upload(client: RawClient) -> None:
        while progress.sent < SIZE:
            await client.send(PIECE)
            progress.sent += len(PIECE)

    async with RawClient(running.proxy_port) as client:
        await client.send(request("POST", "/fixed/a", buyer.bearer, ("Content-Length", str(SIZE))))
        uploading = asyncio.ensure_future(upload(client))
        await progress.stalled()
        may_read.set()
        await uploading
        assert (await client.answer("POST")).status == 200
    assert digest.digest() == hashlib.sha256(PIECE * (SIZE // len(PIECE))).digest()
    assert running.peak_bytes < before + GROWTH_MAX_BYTES
    await house.settled(buyer, spent=CREDIT)
