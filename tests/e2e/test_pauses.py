"""A process that is stopped for longer than its holds live: what it served meanwhile is charged once all the same."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, House, ledgered, sidecar
from tests.support.buyers import Buyer
from tests.support.process import Sidecar
from tests.support.rawhttp import Answer, fetch
from tests.support.until import until_async
from tests.support.upstream import Gate, after, answers

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Paused:
    """One request of `buyer`, whose process stands still since its hold was taken, until that has expired."""

    def __init__(self, house: House, process: Sidecar, buyer: Buyer, gate: Gate) -> None:
        self.gate = gate
        self._house = house
        self._process = process
        self._buyer = buyer
        self._asking: asyncio.Future[Answer]

    async def begin(self) -> None:
        self._asking = asyncio.ensure_future(fetch(self._process.proxy_port, "GET", "/fixed/a", self._buyer.bearer))
        await self.gate.reached()
        self._process.send_signal(signal.SIGSTOP)
        await self._house.settled_later(self._buyer)
        assert await ends(self._house, self._buyer) == {"hold_expiry": 1}

    async def answered(self) -> Answer:
        """Open the gate, and let the process go on."""
        self.gate.open()
        self._process.send_signal(signal.SIGCONT)
        return await self._asking


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def process(whole_house: House) -> AsyncIterator[Sidecar]:
    """Beside the house's own, which sweeps."""
    house = whole_house
    async with sidecar(upstream=house.upstream.url, store=house.store.url, timeouts__hold_ttl_s="1") as running:
        yield running


async def paused(house: House, process: Sidecar, granted: int) -> tuple[Buyer, Paused]:
    gate = Gate()
    house.upstream.script = after(gate)
    buyer = await house.control.buyer(granted * CREDIT)
    request = Paused(house, process, buyer, gate)
    await request.begin()
    return buyer, request


async def ends(house: House, buyer: Buyer) -> dict[str, int]:
    _, types = await ledgered(house.control, buyer)
    return dict(types)


async def lost_and_late(process: Sidecar) -> tuple[float, float]:
    """How many holds expired while their requests ran, and how many charges came too late for theirs."""
    page = (await fetch(process.control_port, "GET", "/metrics")).body.decode()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines())
    return float(samples["sidecar_holds_lost_total"]), float(samples["sidecar_charges_late_total"])


async def test_an_answer_that_came_meanwhile_is_charged_late(house: House, process: Sidecar) -> None:
    lost, late = await lost_and_late(process)
    buyer, request = await paused(house, process, 10)
    answer = await request.answered()
    assert (answer.status, answer.body) == (200, b"ok")
    balance = await house.settled_later(buyer)
    assert (balance.available, balance.spent, balance.owed) == (9 * CREDIT, CREDIT, 0)
    # Either the answer was seen first, or that the hold had gone; then it was taken again.
    charged = "late_commit" if await lost_and_late(process) == (lost, late + 1) else "commit"
    assert charged == "late_commit" or await lost_and_late(process) == (lost + 1, late)
    assert await ends(house, buyer) == {"hold_expiry": 1, charged: 1}


async def test_a_request_that_goes_on_is_held_again(house: House, process: Sidecar) -> None:
    lost, late = await lost_and_late(process)
    buyer, request = await paused(house, process, 10)
    process.send_signal(signal.SIGCONT)

    async def held() -> bool:
        return (await house.control.balance(buyer)).held == CREDIT

    await until_async(held, "it to be held again")
    assert (await request.answered()).status == 200
    assert (await house.settled_later(buyer)).spent == CREDIT
    assert await ends(house, buyer) == {"hold_expiry": 1, "commit": 1}
    assert await lost_and_late(process) == (lost + 1, late)


async def test_who_has_spent_it_meanwhile_owes_it(house: House, process: Sidecar) -> None:
    """It cannot be held again, so it is charged late."""
    lost, late = await lost_and_late(process)
    buyer, request = await paused(house, process, 1)
    house.upstream.script = answers()
    assert (await fetch(house.port, "GET", "/fixed/a", buyer.bearer)).status == 200
    process.send_signal(signal.SIGCONT)

    async def noticed() -> bool:
        return await lost_and_late(process) == (lost + 1, late)

    await until_async(noticed, "the loss to be noticed")
    assert (await request.answered()).status == 200
    balance = await house.settled_later(buyer)
    assert (balance.available, balance.spent, balance.owed) == (0, CREDIT, CREDIT)
    assert await ends(house, buyer) == {"hold_expiry": 1, "commit": 1, "late_commit": 1}
    assert await lost_and_late(process) == (lost + 1, late + 1)
