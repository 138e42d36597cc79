"""SIGTERM under load: what was taken is answered and charged, and for a while everything is taken."""

import asyncio
import signal

import pytest

from tests.e2e.house import CREDIT, House, sidecar
from tests.support.buyers import Buyer
from tests.support.ports import free_ports
from tests.support.process import Sidecar
from tests.support.rawhttp import Answer, RawClient, fetch, request
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, head

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS = 8
AFTERWARDS = 10
"""Requests that each client sends after the process has said that it is leaving."""


class Client:
    """Sends one request after the other, on one connection for as long as it is allowed to."""

    def __init__(self, port: int, buyer: Buyer) -> None:
        self._port = port
        self._buyer = buyer
        self.answers: list[Answer] = []
        self.last: int | None = None
        """How many it sends in all, once that is known."""

    async def run(self) -> None:
        while self.last is None or len(self.answers) < self.last:
            async with RawClient(self._port) as connection:
                while self.last is None or len(self.answers) < self.last:
                    await connection.send(request("GET", "/fixed/a", self._buyer.bearer))
                    self.answers.append(await connection.answer())
                    if self.answers[-1].get("connection") == "close":
                        break


async def readiness(port: int) -> int:
    return (await fetch(port, "GET", "/readyz")).status


async def test_sigterm_under_load_loses_no_settlement_and_refuses_nobody_at_first(house: House) -> None:
    gate, buyer = Gate(), await house.control.buyer(100_000 * CREDIT)

    async def served(exchange: Exchange) -> None:
        if exchange.request.target == b"/fixed/slow":
            await gate.pause()
        await exchange.send(head(200, ("content-length", "0")))

    house.upstream.script = served
    (admin,) = free_ports(1)
    leaving: Sidecar = sidecar(
        "proxy",
        upstream=house.upstream.url,
        store=house.store.url,
        proxy__admin_listen=f"127.0.0.1:{admin}",
        timeouts__shutdown_delay_s="2",
    )
    async with leaving:
        port = leaving.proxy_port
        slow = [asyncio.ensure_future(fetch(port, "GET", "/fixed/slow", buyer.bearer)) for _ in range(5)]
        await gate.reached(5)
        clients = [Client(port, buyer) for _ in range(CLIENTS)]
        running = [asyncio.ensure_future(client.run()) for client in clients]
        await until(lambda: all(len(client.answers) > 5 for client in clients), "some load")
        assert await readiness(admin) == 200
        leaving.send_signal(signal.SIGTERM)
        await until_async(lambda: _is_red(admin), "readiness to say no")
        for client in clients:
            client.last = len(client.answers) + AFTERWARDS
        await asyncio.gather(*running)
        answers = [answer for client in clients for answer in client.answers]
        assert {answer.status for answer in answers} == {200}
        assert sum(answer.get("connection") == "close" for answer in answers) >= CLIENTS * AFTERWARDS - CLIENTS
        # The slow ones outlast the time in which more are taken.
        await until_async(lambda: _is_closed(port), "the end of that time")
        assert await readiness(admin) == 503
        gate.open()
        assert {answer.status for answer in await asyncio.gather(*slow)} == {200}
        assert await leaving.ended() == 0
    await house.settled(buyer, spent=(len(answers) + len(slow)) * CREDIT)


async def _is_red(port: int) -> bool:
    return await readiness(port) == 503


async def _is_closed(port: int) -> bool:
    try:
        async with RawClient(port):
            return False
    except ConnectionRefusedError:
        return True
