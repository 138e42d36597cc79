"""`kill -9` at random moments of a mixed load: whatever the moment, the books balance and nobody is charged twice.

In each round a `sidecar proxy` is killed under the load of three customers, in half of them while its store does not
answer either; its heir has the same folder. One customer's rule denies, allows or has leases then, each in a lane of
its own. By default a few rounds; the long run:

    KILL_ROUNDS=200 pytest tests/e2e/test_kill_rounds.py
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import h11
import msgspec
import pytest

from tests.e2e.house import CREDIT, MODEL, RULES, UPSTREAM_KEY, House, assert_conserved, ledgered, sidecar
from tests.support.buyers import Buyer, Control
from tests.support.faults import Link, resets, swallows, to_socket
from tests.support.openai_api import OpenAIApi
from tests.support.process import Sidecar
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until, until_async
from tests.support.upstream import Exchange, Upstream, answers, says

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROUNDS = int(os.environ.get("KILL_ROUNDS", "6"))
MOST = 5
WAYS = {"deny": "deny", "allow": f"{{allow: {{most: {MOST}}}}}", "lease": "lease"}
"""What the rule says of a store that is away."""
LEASE_S, UNSETTLED_MAX = 5, 6
"""So long a lease of the dead lives, and for so many rounds' holds is waited while others go on."""
CLIENTS = 3
"""For each customer."""
FIXED_CREDITS, COUNTED_FREE, COUNTED_CREDITS = 40, 10, 15
CHAT = msgspec.json.encode(
    {"model": MODEL, "stream": True, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
)


class Asked(msgspec.Struct):
    """What the clients of one customer know."""

    statuses: Counter[int] = msgspec.field(default_factory=Counter)
    """Of answers that came whole."""
    broken: int = 0
    """Requests that were sent, and whose answer did not come whole."""


class Load:
    """Clients that ask without a pause, each as its customer does, until they are told to stop."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self.answers = 0
        self._port = port
        self._chance = chance
        self._stopping = False
        self._clients: list[asyncio.Task[None]] = []

    def add(self, buyer: Buyer, method: str, path: str, body: bytes | None = None, leaves: float = 0) -> Asked:
        """`leaves`: the share of answers that nobody waits for the end of."""
        asked, sent = Asked(), request(method, path, buyer.bearer, body=body)

        async def ask() -> None:
            while not self._stopping:
                try:
                    async with RawClient(self._port) as client:
                        asked.broken += 1
                        await client.send(sent)
                        if self._chance.random() < leaves:
                            await client.receive(until=b"data:")
                            continue
                        answer = await client.answer(method)
                except (ConnectionError, h11.RemoteProtocolError, AssertionError):
                    await asyncio.sleep(0)  # Or it would never be anybody else's turn while nobody listens.
                    continue
                asked.broken -= 1
                asked.statuses[answer.status] += 1
                self.answers += 1

        self._clients += [asyncio.ensure_future(ask()) for _ in range(CLIENTS)]
        return asked

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._clients)


class Lane:
    """One killed process after the other, in one folder, on the store of the house behind a link of its own."""

    def __init__(self, house: House, upstream: Upstream, link: Link, folder: Path, way: str) -> None:
        self._chance = random.Random(way)
        self._way = way
        rules = folder / "rules.yaml"
        # Its last rule is that of fixed prices.
        rules.write_text(f"{RULES.read_text()}    on_store_down: {WAYS[way]}\n")
        self._control: Control = house.control
        self._upstream = upstream
        self._link = link
        self._process: Sidecar = sidecar(
            "proxy",
            upstream=upstream.url,
            store=f"redis://127.0.0.1:{link.port}",
            rules=rules,
            timeouts__hold_ttl_s="1",
            store__timeout_s="0.2",
            spool__dir=str(folder),
            leases__ttl_s=str(LEASE_S),
            leases__share="0.5",
        )
        self._folder = folder
        upstream.script = self._treat
        self._api = OpenAIApi(key=UPSTREAM_KEY)
        self._ways = (answers(), answers(), answers(), answers(status=500), says(then="reset"))

    async def run(self, rounds: Iterator[int]) -> None:
        checking: set[asyncio.Task[None]] = set()
        async with self._process as process:
            for _ in rounds:
                check = await self._round(process)
                await process.start()
                await until(lambda: not any(self._folder.rglob("*.spool")), "the heir to deliver what it left")
                checking.add(asyncio.ensure_future(check()))
                if len(checking) == UNSETTLED_MAX:
                    done, checking = await asyncio.wait(checking, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        each.result()
            await asyncio.gather(*checking)

    async def _round(self, process: Sidecar) -> Callable[[], Coroutine[Any, Any, None]]:
        """Kill it under load; what must be so when its heir is there."""
        control, chance = self._control, self._chance
        fixed, counted, chat = (
            await control.buyer(FIXED_CREDITS * CREDIT),
            await control.buyer(COUNTED_CREDITS * CREDIT),
            await control.buyer(CREDIT),
        )
        self._upstream.forget()
        load = Load(process.proxy_port, chance)
        before = await self._leased(process, fixed) if self._way == "lease" else 0
        by_fixed = load.add(fixed, "GET", "/fixed/a")
        by_fixed.statuses[200] += before
        by_counted = load.add(counted, "POST", "/counted/a", b"{}")
        load.add(chat, "POST", "/v1/chat/completions", CHAT, leaves=0.3)
        # The payers are known to it by then.
        enough = chance.randrange(30, 150)
        await until(lambda: load.answers >= enough, f"{enough} answers")
        without_store = chance.random() < 0.5
        if without_store:
            met, fault = self._link.met, chance.choice([resets, swallows])
            setattr(self._link, chance.choice(["requests", "answers"]), fault)
            await until(lambda: self._link.met > met, "the store to be away")
            more = load.answers + chance.randrange(25)
            await until(lambda: load.answers >= more, "some answers without a store")
        await process.stop(signal.SIGKILL)
        self._link.heal()
        await load.stop()

        async def check() -> None:
            spent = await self._settled(fixed, owed_max=MOST * CREDIT if self._way == "allow" else 0)
            paid = by_fixed.statuses[200]
            assert spent % CREDIT == 0
            assert spent <= (paid + by_fixed.broken) * CREDIT
            # With a store, the end of an answer waits until it is charged.
            assert without_store or spent >= paid * CREDIT
            counts = max(await self._settled(counted) // CREDIT, 0)
            paid, unseen = by_counted.statuses[200], by_counted.broken
            assert counts <= max(paid + unseen - COUNTED_FREE, 0)
            assert without_store or counts >= paid - COUNTED_FREE
            await self._settled(chat)

        return check

    async def _leased(self, process: Sidecar, buyer: Buyer) -> int:
        """Ask until it has credit on lease; how many requests that took."""
        self._upstream.once(answers())
        assert (await fetch(process.proxy_port, "GET", "/fixed/a", buyer.bearer)).status == 200

        async def leased() -> bool:
            return "(lease)" in {hold["rule"] for hold in await self._control.open_holds(buyer)}

        await until_async(leased, "a lease")
        return 1

    async def _settled(self, buyer: Buyer, owed_max: int = 0) -> int:
        """What was charged in the end: at most what there was, and what the ledger says, too."""
        control = self._control

        async def nothing_held() -> bool:
            return not (await control.balance(buyer)).held and not await control.open_holds(buyer)

        await until_async(nothing_held, "what was held to come back")
        balance = await control.balance(buyer)
        assert_conserved(balance)
        assert balance.owed <= owed_max, "nobody spends more than there is"
        assert balance.spent <= balance.granted
        told, outcomes = await ledgered(control, buyer)
        assert told == balance
        assert outcomes.keys() <= {"commit", "late_commit", "release", "hold_expiry"}
        return balance.spent + balance.owed

    async def _treat(self, exchange: Exchange) -> None:
        """Mostly well."""
        if exchange.request.target.startswith(b"/v1/"):
            await self._api(exchange)
        else:
            await self._chance.choice(self._ways)(exchange)


async def test_a_killed_process_leaves_right_books(house: House, tmp_path: Path) -> None:
    rounds = iter(range(ROUNDS))

    async def lane(way: str) -> None:
        folder = tmp_path / way
        folder.mkdir()
        async with Upstream() as upstream, Link(to_socket(house.store.socket)) as link:
            await Lane(house, upstream, link, folder, way).run(rounds)

    await asyncio.gather(*map(lane, WAYS))
