"""Each way a connection can fail, at each of the places where a request depends on one, in a real process.

Client, upstream and store are each behind a `Link`. After each fault the books and the ledger say what happened once,
and the process has no request, settlement or socket left over. `tests/proxy/test_every_exit.py` has every exit; this
is the part of it that sockets and processes may see differently.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Any

import h11
import msgspec
import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, assert_conserved, ledgered, sidecar
from tests.support.buyers import Buyer
from tests.support.faults import (
    Fault,
    Link,
    Way,
    cuts,
    delays,
    half_closes,
    resets,
    swallow,
    swallows,
    to_port,
    to_socket,
    trickles,
)
from tests.support.process import Sidecar
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.store import StoreServer
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Gate, Upstream, chunk, head

pytestmark = pytest.mark.asyncio(loop_scope="session")

BODY = b"x" * 600
HALF = b"half of it "
STORE_TIMEOUT_S = 0.2
TIMEOUTS = {
    "timeouts__client_idle_s": "0.5",
    "timeouts__head_s": "0.5",
    "timeouts__idle_s": "0.5",
    "store__timeout_s": str(STORE_TIMEOUT_S),
}


class When(StrEnum):
    """From when on the link is faulty."""

    START = "from the start"
    ASKED = "when the upstream has the request"
    BEGUN = "in the middle of the answer"


class Cell(msgspec.Struct, frozen=True):
    """A fault and what must come of it.

    `sees` is the status of a whole answer, 0 for one that breaks off, None for a client that hears nothing at all.
    `says` is how the one line of the ledger begins, as a pattern: type, then end or reason; "" is no line.
    """

    link: str
    way: str
    fault: Callable[[], Fault]
    when: When
    sees: tuple[int | None, ...]
    says: str

    @property
    def name(self) -> str:
        name = re.sub(r"<function |\.<locals>.*| at .*", "", repr(self.fault()))
        return f"{self.link} {self.way} {name} {self.when}"


def always(fault: Fault) -> Callable[[], Fault]:
    return lambda: fault


RESETS, SWALLOWS, HALF_CLOSES = always(resets), always(swallows), always(half_closes)
UNTOLD = r"release |\Z"
"""The process has other things to ask of the store, too; if one of them meets the fault first, nothing was held."""
LATE, CRUMBS = always(delays(0.05)), always(trickles(40, 0.001))
START, ASKED, BEGUN = When.START, When.ASKED, When.BEGUN
FAILED, TIMED_OUT = "upstream_failed", "timed_out"
LEFT = r"release request\.client_gone|commit head\.client_gone"
"""It may be seen before the first half of the request has been sent on, or after that."""

CELLS = (
    # The client's request: nobody is asked for one that does not come whole.
    Cell("client", "requests", RESETS, START, (0,), ""),
    Cell("client", "requests", SWALLOWS, START, (None,), ""),
    Cell("client", "requests", HALF_CLOSES, START, (0,), ""),
    Cell("client", "requests", lambda: cuts(30), START, (0,), ""),
    Cell("client", "requests", LATE, START, (200,), "commit"),
    Cell("client", "requests", CRUMBS, START, (200,), "commit"),
    Cell("client", "requests", lambda: cuts(500), START, (0,), LEFT),
    Cell("client", "requests", lambda: cuts(500, Way.reset), START, (0,), LEFT),
    Cell("client", "requests", lambda: cuts(500, Way.half_close), START, (0,), LEFT),
    Cell("client", "requests", lambda: cuts(500, swallow), START, (408, 0), "commit head.client_broke"),
    # The client's answer: it is paid for, whoever hears it.
    Cell("client", "answers", RESETS, ASKED, (0,), "commit"),
    Cell("client", "answers", SWALLOWS, ASKED, (None,), "commit"),
    Cell("client", "answers", HALF_CLOSES, ASKED, (0,), "commit"),
    Cell("client", "answers", LATE, ASKED, (200,), "commit"),
    Cell("client", "answers", CRUMBS, ASKED, (200,), "commit"),
    Cell("client", "answers", RESETS, BEGUN, (0,), "commit"),
    Cell("client", "answers", SWALLOWS, BEGUN, (None,), "commit"),
    # The request to the upstream.
    Cell("upstream", "requests", RESETS, START, (502,), f"release head.{FAILED}"),
    Cell("upstream", "requests", SWALLOWS, START, (504,), f"release head.{TIMED_OUT}"),
    Cell("upstream", "requests", HALF_CLOSES, START, (502,), f"release head.{FAILED}"),
    Cell("upstream", "requests", lambda: cuts(500), START, (502,), f"release head.{FAILED}"),
    Cell("upstream", "requests", LATE, START, (200,), "commit"),
    Cell("upstream", "requests", CRUMBS, START, (200,), "commit"),
    # Its answer.
    Cell("upstream", "answers", RESETS, ASKED, (502,), f"release head.{FAILED}"),
    Cell("upstream", "answers", SWALLOWS, ASKED, (504,), f"release head.{TIMED_OUT}"),
    Cell("upstream", "answers", HALF_CLOSES, ASKED, (502,), f"release head.{FAILED}"),
    Cell("upstream", "answers", lambda: cuts(20), ASKED, (502,), f"release head.{FAILED}"),
    Cell("upstream", "answers", LATE, ASKED, (200,), "commit"),
    Cell("upstream", "answers", CRUMBS, ASKED, (200,), "commit"),
    Cell("upstream", "answers", RESETS, BEGUN, (0,), f"release body.{FAILED}"),
    Cell("upstream", "answers", SWALLOWS, BEGUN, (0,), f"release body.{TIMED_OUT}"),
    Cell("upstream", "answers", HALF_CLOSES, BEGUN, (0,), f"release body.{FAILED}"),
    Cell("upstream", "answers", lambda: cuts(5), BEGUN, (0,), f"release body.{FAILED}"),
    Cell("upstream", "answers", LATE, BEGUN, (200,), "commit"),
    # The way to the store, when the hold is taken.
    Cell("store", "requests", RESETS, START, (503,), ""),
    Cell("store", "requests", SWALLOWS, START, (503,), ""),
    Cell("store", "requests", HALF_CLOSES, START, (503,), ""),
    Cell("store", "requests", lambda: cuts(200), START, (503,), ""),
    Cell("store", "requests", LATE, START, (200,), "commit"),
    Cell("store", "requests", CRUMBS, START, (200,), "commit"),
    Cell("store", "answers", RESETS, START, (503,), UNTOLD),
    Cell("store", "answers", SWALLOWS, START, (503,), UNTOLD),
    Cell("store", "answers", HALF_CLOSES, START, (503,), UNTOLD),
    Cell("store", "answers", LATE, START, (200,), "commit"),
    # And when the cost is committed: the answer is whole, and is charged once, however often that has to be said.
    Cell("store", "requests", RESETS, BEGUN, (200,), "commit"),
    Cell("store", "requests", SWALLOWS, BEGUN, (200,), "commit"),
    Cell("store", "requests", lambda: cuts(200), BEGUN, (200,), "commit"),
    Cell("store", "answers", RESETS, BEGUN, (200,), "commit"),
    Cell("store", "answers", SWALLOWS, BEGUN, (200,), "commit"),
    Cell("store", "answers", HALF_CLOSES, BEGUN, (200,), "commit"),
    Cell("store", "answers", lambda: cuts(3), BEGUN, (200,), "commit"),
)


class Street:
    """A `sidecar run` that reaches everybody, and is reached by its clients, over a link that can fail."""

    def __init__(self, running: Sidecar, links: dict[str, Link], upstream: Upstream) -> None:
        self.running = running
        self.links = links
        self.upstream = upstream
        self.sockets = 0

    async def asks(self, buyer: Buyer, port: int = 0) -> int | None:
        """The status of one answer; 0 when it broke off."""
        async with RawClient(port or self.links["client"].port) as client:
            await client.send(request("POST", "/fixed/a", buyer.bearer, body=BODY))
            try:
                return (await client.answer("POST")).status
            except (h11.RemoteProtocolError, ConnectionError):
                return 0

    async def settle_down(self) -> None:
        """Everything works again, and nothing is left of what did not.

        Raises AssertionError when that does not come about.
        """
        for link in self.links.values():
            link.heal()
        port = self.running.control_port

        async def quiet() -> bool:
            answer = await fetch(port, "GET", "/metrics")
            samples = dict(line.split(" ") for line in answer.body.decode().splitlines() if line[0] != "#")
            busy = ("requests_in_flight", "settlements_pending", "spool_records", "store_circuit_open", "drains")
            return samples["sidecar_store_connected"] == "1.0" and not any(
                float(samples[f"sidecar_{each}"]) for each in busy
            )

        await until_async(quiet, "the process to have nothing left to do")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def street() -> AsyncIterator[Street]:
    store = StoreServer()
    store.start()
    async with AsyncExitStack() as stack:
        stack.callback(store.remove)
        upstream = await stack.enter_async_context(Upstream())
        to_upstream = await stack.enter_async_context(Link(to_port(upstream.port)))
        to_store = await stack.enter_async_context(Link(to_socket(store.socket)))
        running = sidecar(
            upstream=f"http://127.0.0.1:{to_upstream.port}",
            store=f"redis://127.0.0.1:{to_store.port}",
            upstream__breaker_failures="0",
            upstream__idle_timeout_s="60",
            **TIMEOUTS,
        )
        await stack.enter_async_context(running)
        to_proxy = await stack.enter_async_context(Link(to_port(running.proxy_port)))
        links = {"client": to_proxy, "upstream": to_upstream, "store": to_store}
        street = Street(running, links, upstream)
        buyer = await running.control.buyer(CREDIT)
        upstream.script = Answering().script
        assert await street.asks(buyer) == 200
        await street.settle_down()
        street.sockets = running.sockets
        yield street


class Answering:
    """The upstream's side of a request: it stops where the fault begins."""

    def __init__(self, at: When = When.START) -> None:
        self.gate = Gate()
        self._at = at

    async def script(self, exchange: Exchange) -> None:
        await exchange.body()
        if self._at is When.ASKED:
            await self.gate.pause()
        await exchange.send(head(200, ("transfer-encoding", "chunked")) + chunk(HALF))
        if self._at is When.BEGUN:
            await self.gate.pause()
        await exchange.send(chunk(HALF) + chunk(b""))


@pytest_asyncio.fixture(loop_scope="session")
async def sound(street: Street) -> AsyncIterator[Street]:
    """The street, without the faults of the test before."""
    yield street
    for link in street.links.values():
        link.heal()


@pytest.mark.parametrize("cell", CELLS, ids=[cell.name for cell in CELLS])
async def test_a_fault_is_settled_once_and_leaves_nothing(sound: Street, cell: Cell) -> None:
    street = sound
    link = street.links[cell.link]
    buyer = await street.running.control.buyer(10 * CREDIT)
    answering, begun = Answering(cell.when), asyncio.Event()
    street.upstream.script = answering.script
    # The payer is known already: it is the hold that meets the fault.
    street.upstream.once(Answering().script)
    assert await street.asks(buyer) == 200

    async def listens(way: Way, data: bytes) -> None:
        await way.pass_on(data)
        if HALF in data:
            begun.set()

    asking = None
    if cell.when is not START:
        street.links["client"].answers = listens
        asking = asyncio.ensure_future(street.asks(buyer))
        await answering.gate.reached()
    if cell.when is BEGUN:
        await begun.wait()
    met = link.met
    setattr(link, cell.way, cell.fault())
    asking = asking or asyncio.ensure_future(street.asks(buyer))
    answering.gate.open()
    await until(lambda: link.met > met, "the fault to happen")
    if cell.sees == (None,):
        await street.settle_down()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    else:
        assert await asking in cell.sees
    await street.settle_down()
    await settled(street, buyer, cell.says)
    street.upstream.script = Answering().script
    assert await street.asks(buyer) == 200
    await until(lambda: street.running.sockets == street.sockets, "every other socket to be closed")


async def test_afterwards_store_and_archive_agree(street: Street) -> None:
    await street.running.verify()


async def settled(street: Street, buyer: Buyer, says: str) -> None:
    """Nothing is held, the books add up, and the ledger has the one line that it should have, beside the first."""
    control = street.running.control

    async def nothing_held() -> bool:
        return not (await control.balance(buyer)).held and not await control.open_holds(buyer)

    await until_async(nothing_held, "every hold to end")
    balance = await control.balance(buyer)
    assert_conserved(balance)
    told, _ = await ledgered(control, buyer)
    assert told == balance
    lines = [line for entry in await control.ledger(buyer) if (line := story(entry))]
    assert lines.pop() == "commit"
    assert len(lines) <= 1, "it was settled twice"
    line = "".join(lines)
    assert re.match(says or r"\Z", line), line
    assert balance.spent == CREDIT * (1 + line.startswith("commit"))


def story(entry: dict[str, Any]) -> str:
    """What an entry says of a request; nothing for a grant."""
    if "reservation_id" not in entry:
        return ""
    end = re.search(r"end=(\S+)", entry.get("usage", ""))
    return " ".join(filter(None, (entry["type"], end[1] if end else "", entry.get("reason", ""))))
