"""Real processes whose store goes away, by a rule that says `lease`: what they serve is held, and charged once."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import h11
import pytest

from tests.e2e.bridge import metric, process, served, spent
from tests.e2e.house import CREDIT, assert_conserved
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Upstream

GRANTED = 10_000
BRIDGED = 'sidecar_bridged_requests_total{way="lease"}'
LEFT = "sidecar_leased_base_units"
ENOUGH = 20
"""Credits on lease in each process before the store goes away."""


class Client:
    """Asks one process without a pause, until it is told to stop or the process dies."""

    def __init__(self, sidecar: Sidecar, buyer: Buyer) -> None:
        self.answered = self.broken = self.refused = 0
        """Answers that came whole, requests whose answer did not, and refusals since the last answer."""
        self.stopping = False
        self.task = asyncio.ensure_future(self._ask(sidecar, buyer))

    async def _ask(self, sidecar: Sidecar, buyer: Buyer) -> None:
        while not self.stopping:
            try:
                answer = await fetch(sidecar.proxy_port, "GET", "/leased/a", buyer.bearer)
            except (ConnectionError, h11.RemoteProtocolError, AssertionError):
                self.broken += 1
                return
            assert answer.status in {200, 503}
            self.answered += answer.status == 200
            self.refused = self.refused + 1 if answer.status == 503 else 0


@pytest.mark.parametrize("fault", ["killed", "stopped"])
async def test_three_processes_serve_what_they_have_on_lease_and_charge_it_once(
    durable: StoreServer, upstream: Upstream, tmp_path: Path, fault: str
) -> None:
    """Under load; and one of them is killed too, while it serves: a process in its place finds its folder."""
    settings = {"leases.share": "0.005", "leases.idle_s": "2", "timeouts.hold_ttl_s": "1"}
    three = [process(upstream, durable, tmp_path / name, **settings) for name in ("a", "b", "c")]
    async with AsyncExitStack() as stack:
        for each in three:
            await stack.enter_async_context(each)
        first, second, dead = three
        buyer = await first.control.buyer(GRANTED * CREDIT)
        clients = [Client(each, buyer) for each in three]

        async def leased() -> bool:
            return all([await metric(each, LEFT) >= ENOUGH * CREDIT for each in three])

        await until_async(leased, "each to have a lease")
        durable.kill() if fault == "killed" else durable.pause()

        async def bridged() -> bool:
            return all([await metric(each, BRIDGED) for each in three])

        await until_async(bridged, "each to serve out of its lease")
        of_dead = await metric(dead, BRIDGED)
        await dead.stop(signal.SIGKILL)
        await until(lambda: min(each.refused for each in clients[:2]) >= 5, "the leases to be used up")
        for client in clients:
            client.stopping = True
        await asyncio.gather(*(client.task for client in clients))
        assert [await metric(each, LEFT) < CREDIT for each in (first, second)] == [True, True]
        of_living = sum([await metric(each, BRIDGED) for each in (first, second)])
        durable.start() if fault == "killed" else durable.resume()
        await stack.enter_async_context(process(upstream, durable, tmp_path / "c", **settings))
        answered, broken = sum(client.answered for client in clients), sum(client.broken for client in clients)

        async def all_back() -> bool:
            balance = await first.control.balance(buyer)
            return balance.held == 0 and balance.spent >= answered * CREDIT

        await until_async(all_back, "all that was answered to be charged, and the leases to come back")
        balance = await first.control.balance(buyer)
        assert_conserved(balance)
        assert balance.owed == 0
        assert answered * CREDIT <= balance.spent <= (answered + broken) * CREDIT
        entries = await first.control.ledger(buyer)
        paid = [entry for entry in entries if "paid_by=lease" in entry.get("usage", "")]
        # What the dead one was serving in its last moment may have been charged, or not.
        assert len(paid) >= of_living + of_dead - broken
        # All of it by what the store held for it.
        assert {(entry["charged"], entry["held"]) for entry in paid} == {(CREDIT, CREDIT)}
        assert len({entry["reservation_id"] for entry in paid}) == len(paid)
        for each in (first, second):
            assert await metric(each, "sidecar_overspend_b") == 0


async def test_leases_come_back_when_nobody_uses_them(
    durable: StoreServer, upstream: Upstream, tmp_path: Path
) -> None:
    async with process(upstream, durable, tmp_path, **{"leases.idle_s": "1"}) as sidecar:
        buyer = await sidecar.control.buyer(GRANTED * CREDIT)
        assert await served(sidecar, "/leased/a", buyer, 3) == 3

        async def leased() -> bool:
            return (await sidecar.control.balance(buyer)).held > 0

        await until_async(leased, "a lease")
        await spent(sidecar, buyer, 3)
        assert await metric(sidecar, "sidecar_leases ") == 0
        assert await metric(sidecar, "sidecar_leases_returned_base_units_total") > 0


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
