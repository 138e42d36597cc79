"""Everything at once: random clients, upstreams that fail in every way, and afterwards the books are right."""

import asyncio
import random
from collections import Counter

import h11
import pytest

from tests.e2e.house import CREDIT, House, ledgered
from tests.support.buyers import Buyer
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Exchange, Script, answers, chunk, head, says

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS = 30
REQUESTS = 15
CHUNKED = head(200, ("transfer-encoding", "chunked"))

# How the upstream treats a request that asks for it, and whether that is an answer that is paid for.
WAYS: dict[str, tuple[Script, bool]] = {
    "well": (answers(b"result"), True),
    "in chunks": (says(CHUNKED, chunk(b"re"), chunk(b"sult"), chunk(b"")), True),
    "and closes": (says(head(200, ("connection", "close"), ("content-length", "2")) + b"ok", then="close"), True),
    "until close": (says(b"HTTP/1.0 200 OK\r\n\r\n", b"result", then="close"), True),
    "404": (answers(b"none", status=404), False),
    "500": (answers(b"oops", status=500), False),
    "reset": (says(then="reset"), False),
    "half a head": (says(b"HTTP/1.1 2", then="close"), False),
    "half a body": (says(head(200, ("content-length", "9")), b"res", then="close"), False),
    "half a chunk": (says(CHUNKED, b"9\r\nres", then="reset"), False),
    "garbage": (says(b"\x00\x01\x02\r\n\r\n", then="close"), False),
}


async def as_asked(exchange: Exchange) -> None:
    """The upstream: the request says how it wants to be treated."""
    way = exchange.request.get(b"x-way")
    assert way is not None
    await WAYS[way.decode()][0](exchange)


class Client:
    """Makes requests of all kinds, and knows what they must have cost."""

    def __init__(self, house: House, buyer: Buyer, seed: int) -> None:
        self._house = house
        self._buyer = buyer
        self._chance = random.Random(seed)
        self.paid = 0
        """Answers that came whole and are paid for."""
        self.unseen = 0
        """Requests that this client did not wait for."""

    async def run(self) -> None:
        for _ in range(REQUESTS):
            await self._ask(self._chance.choice(list(WAYS)))

    async def _ask(self, way: str) -> None:
        async with RawClient(self._house.port) as client:
            body = bytes(self._chance.choice([0, 10, 50_000]))
            # POST, so that the proxy never repeats a request whose fate it does not know.
            sent = request("POST", "/fixed/chaos", self._buyer.bearer, ("X-Way", way), body=body)
            if self._chance.random() < 0.25:
                self.unseen += 1
                await client.send(sent[: self._chance.randrange(1, len(sent) + 1)])
                if self._chance.random() < 0.5:
                    client.reset()
                return
            await client.send(sent)
            try:
                answer = await client.answer("POST")
            except (h11.RemoteProtocolError, ConnectionResetError):
                assert not WAYS[way][1], f"{way} broke"
                return
        assert (answer.status == 200) == WAYS[way][1], f"{way} was answered {answer.status}"
        self.paid += answer.status == 200


async def test_the_books_are_right_whatever_happens(house: House) -> None:
    house.upstream.script = as_asked
    buyer = await house.control.buyer(1000 * CREDIT)
    clients = [Client(house, buyer, seed) for seed in range(CLIENTS)]
    await asyncio.gather(*(client.run() for client in clients))
    balance = await house.settled_later(buyer)

    paid, unseen = sum(client.paid for client in clients), sum(client.unseen for client in clients)
    assert paid > 100, "the seeds are such that much goes well"
    assert paid * CREDIT <= balance.spent <= (paid + unseen) * CREDIT
    assert balance.spent % CREDIT == 0
    told, outcomes = await ledgered(house.control, buyer)
    assert told == balance
    assert outcomes["commit"] * CREDIT == balance.spent
    assert outcomes.keys() <= {"commit", "release"}

    metrics = await _metrics(house)
    assert metrics["sidecar_requests_in_flight"] == 0
    # Nothing of a customer may be a label: there are too many of them, and they are nobody's business.
    assert not [name for name in metrics if buyer.customer_id in name or buyer.external_id in name]


async def _metrics(house: House) -> Counter[str]:
    """Each sample of the process by its name and labels."""
    answer = await fetch(house.sidecar.control_port, "GET", "/metrics")
    lines = [line.rpartition(" ") for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return Counter({name: round(float(value)) for name, _, value in lines})
