"""``python -m benchmarks.soak --minutes 15``: a process under load whose surroundings fail every few seconds.

One `sidecar run`, with its store, its upstream and its clients each behind a link that can fail, serves a mixed load.
Every few seconds something happens: a link fails in some way, the store dies or freezes, the process itself is
stopped for a while, or a second process on the same store is killed. Every `QUIET_EVERY_S` all is healed and the load
pauses; then nothing may be in flight, and memory, sockets and tasks are counted. At the end every customer's books
must bear out what the clients know, and `sidecar verify` finds nothing. Exit 1 when anything is not so.

Needs the `tests` folder, which has the failing links and the processes.
"""

import argparse
import asyncio
import random
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

import h11
import msgspec

from benchmarks.machine import resident_mb
from tests.e2e.house import CREDIT, MODEL, UPSTREAM_KEY, sidecar
from tests.support.buyers import Buyer
from tests.support.faults import (
    Fault,
    Link,
    Way,
    cuts,
    delays,
    half_closes,
    resets,
    swallows,
    to_port,
    to_socket,
    trickles,
)
from tests.support.openai_api import OpenAIApi
from tests.support.process import Sidecar
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.store import StoreServer
from tests.support.until import until_async
from tests.support.upstream import Exchange, Upstream, answers, says

QUIET_EVERY_S = 30.0
FAULT_EVERY_S = (1.0, 4.0)
FAULT_LASTS_S = (0.2, 2.0)
CUSTOMERS = 6
PAUSE_S = 0.02
"""Of each client after each answer: the load shall not be what is measured."""
MEMORY_MAX_GROWTH = 1.10
"""Of the median of the last third over that of the second one; the first fills caches."""
SETTINGS = {
    "timeouts__client_idle_s": "2",
    "timeouts__head_s": "2",
    "timeouts__idle_s": "2",
    "timeouts__hold_ttl_s": "3",
    "store__timeout_s": "0.5",
    "upstream__idle_timeout_s": "1",
}
CHAT = msgspec.json.encode(
    {"model": MODEL, "stream": True, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
)
LINK_FAULTS: dict[str, Callable[[], Fault]] = {
    "reset": lambda: resets,
    "black hole": lambda: swallows,
    "half close": lambda: half_closes,
    "cut": lambda: cuts(random.randrange(2000), random.choice([Way.close, Way.reset])),
    "delay": lambda: delays(random.uniform(0.01, 0.3)),
    "trickle": lambda: trickles(random.randrange(1, 100), 0.001),
}


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The process in a quiet moment."""

    minutes: float
    answers: int
    faults: int
    memory_mb: float
    sockets: int
    tasks: int


class Customer:
    """One buyer and what its clients know."""

    def __init__(self, buyer: Buyer, method: str, path: str, body: bytes | None, leaves: float) -> None:
        self.buyer = buyer
        self.sent = request(method, path, buyer.bearer, body=body)
        self.method = method
        self.leaves = leaves
        """The share of answers that are left in their middle."""
        self.fixed = path.startswith("/fixed")
        self.statuses: Counter[int] = Counter()
        self.broken = 0


class Load:
    """Clients of all customers, who ask again and again while `running` is set."""

    def __init__(self, link: Link) -> None:
        self.running = asyncio.Event()
        self.customers: list[Customer] = []
        self._link = link
        self._busy = 0
        self._clients: list[asyncio.Task[None]] = []

    @property
    def answers(self) -> int:
        return sum(customer.statuses.total() for customer in self.customers)

    def add(self, customer: Customer, clients: int = 3) -> None:
        self.customers.append(customer)
        self._clients += [asyncio.ensure_future(self._ask(customer)) for _ in range(clients)]

    async def pause(self) -> None:
        """Nobody asks any more, and everybody has an answer or none."""
        self.running.clear()

        async def quiet() -> bool:
            return not self._busy

        await until_async(quiet, "the clients to be done")

    async def stop(self) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _ask(self, customer: Customer) -> None:
        while True:
            await self.running.wait()
            self._busy += 1
            try:
                await self._once(customer)
            except (ConnectionError, TimeoutError, h11.RemoteProtocolError, AssertionError):
                customer.broken += 1
            finally:
                self._busy -= 1
            await asyncio.sleep(PAUSE_S)

    async def _once(self, customer: Customer) -> None:
        async with RawClient(self._link.port) as client, asyncio.timeout(8):
            await client.send(customer.sent)
            if random.random() < customer.leaves:
                customer.broken += 1
                await client.receive(until=b"data:")
                return
            answer = await client.answer(customer.method)
        customer.statuses[answer.status] += 1


class Surroundings:
    """What can happen to the process, and how it is healed."""

    def __init__(
        self, running: Sidecar, doomed: Sidecar, store: StoreServer, links: dict[str, Link], load: Load
    ) -> None:
        self.happened: Counter[str] = Counter()
        self._running = running
        self._doomed = doomed
        self._store = store
        self._links = links
        self._load = load
        self._others: dict[str, Callable[[], Awaitable[None]]] = {
            "store killed": self._store_killed,
            "store frozen": self._store_frozen,
            "process stopped": self._process_stopped,
            "other process killed": self._other_killed,
        }

    async def something(self) -> None:
        """One of it, for a while."""
        if random.random() < 0.3:
            name, happen = random.choice(list(self._others.items()))
            self.happened[name] += 1
            await happen()
            return
        where, link = random.choice(list(self._links.items()))
        fault, way = random.choice(list(LINK_FAULTS)), random.choice(["requests", "answers"])
        self.happened[f"{where}: {fault}"] += 1
        setattr(link, way, LINK_FAULTS[fault]())
        await _a_while()
        link.heal()

    async def _store_killed(self) -> None:
        await asyncio.to_thread(self._store.kill)
        await _a_while()
        await asyncio.to_thread(self._store.start)

    async def _store_frozen(self) -> None:
        self._store.pause()
        await _a_while()
        self._store.resume()

    async def _process_stopped(self) -> None:
        self._running.send_signal(signal.SIGSTOP)
        await asyncio.sleep(random.uniform(0.5, 4.0))
        self._running.send_signal(signal.SIGCONT)

    async def _other_killed(self) -> None:
        buyer = self._load.customers[0].buyer
        asking = [
            asyncio.ensure_future(fetch(self._doomed.proxy_port, "POST", "/fixed/a", buyer.bearer, body=b"{}"))
            for _ in range(5)
        ]
        await asyncio.sleep(random.uniform(0, 0.02))
        await self._doomed.stop(signal.SIGKILL)
        for answer in await asyncio.gather(*asking, return_exceptions=True):
            if isinstance(answer, BaseException):
                self._load.customers[0].broken += 1
            else:
                self._load.customers[0].statuses[answer.status] += 1
        await self._doomed.start()


async def _a_while() -> None:
    await asyncio.sleep(random.uniform(*FAULT_LASTS_S))


async def soak(minutes: float) -> tuple[list[Sample], list[str], Counter[str], Counter[int]]:
    """Samples, what was wrong, what happened, and the answers by status."""
    store = StoreServer("--appendfsync", "always", append_only=True)
    store.start()
    async with AsyncExitStack() as stack:
        stack.callback(store.remove)
        upstream = await stack.enter_async_context(Upstream(_treating()))
        to_upstream = await stack.enter_async_context(Link(to_port(upstream.port)))
        to_store = await stack.enter_async_context(Link(to_socket(store.socket)))
        running = sidecar(
            upstream=f"http://127.0.0.1:{to_upstream.port}", store=f"redis://127.0.0.1:{to_store.port}", **SETTINGS
        )
        await stack.enter_async_context(running)
        doomed = sidecar("proxy", upstream=upstream.url, store=store.url, **SETTINGS)
        await stack.enter_async_context(doomed)
        to_proxy = await stack.enter_async_context(Link(to_port(running.proxy_port)))
        load = Load(to_proxy)
        stack.push_async_callback(load.stop)
        for _ in range(CUSTOMERS // 3):
            load.add(await _customer(running, "POST", "/fixed/a", b"{}"))
            load.add(await _customer(running, "POST", "/counted/a", b"{}"))
            load.add(await _customer(running, "POST", "/v1/chat/completions", CHAT, leaves=0.2))
        around = Surroundings(
            running, doomed, store, {"client": to_proxy, "upstream": to_upstream, "store": to_store}, load
        )
        samples = await _rounds(minutes, running, upstream, load, around)
        wrong = judged(samples)
        for customer in load.customers:
            wrong += await _books(running, customer)
        await running.verify()
    return samples, wrong, around.happened, sum((each.statuses for each in load.customers), Counter[int]())


async def _rounds(
    minutes: float, running: Sidecar, upstream: Upstream, load: Load, around: Surroundings
) -> list[Sample]:
    begun, samples = time.monotonic(), list[Sample]()
    while not samples or time.monotonic() - begun < minutes * 60:
        load.running.set()
        quiet_at = time.monotonic() + min(QUIET_EVERY_S, minutes * 10)
        while time.monotonic() < quiet_at:
            await asyncio.sleep(random.uniform(*FAULT_EVERY_S))
            await around.something()
        await load.pause()
        # The sweep has tasks of its own for a moment; what leaks is always there.
        tasks = min([(await _quiet(running))["sidecar_tasks"] for _ in range(10)])
        samples.append(
            Sample(
                minutes=(time.monotonic() - begun) / 60,
                answers=load.answers,
                faults=around.happened.total(),
                memory_mb=resident_mb(running.pid),
                sockets=running.sockets,
                tasks=round(tasks),
            )
        )
        print(_row(samples[-1]), flush=True)
        upstream.forget()
    return samples


async def _quiet(running: Sidecar) -> dict[str, float]:
    """The metrics, once nothing is left of what was under way."""
    busy = (
        "requests_in_flight", "settlements_pending", "spool_records", "store_circuit_open", "drains",
        "client_connections", "archive_waiting_entries", "upstream_connections", "waiting_requests",
    )  # fmt: skip
    found: dict[str, float] = {}

    async def quiet() -> bool:
        page = (await fetch(running.control_port, "GET", "/metrics")).body.decode()
        for line in page.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found["sidecar_store_connected"] == 1 and not any(found[f"sidecar_{each}"] for each in busy)

    await until_async(quiet, "the process to have nothing left to do")
    return found


def judged(samples: Sequence[Sample]) -> list[str]:
    """What grew that should not have."""
    third = len(samples) // 3
    if not third:
        return ["too short to judge: at least three quiet moments are needed"]
    second, last = samples[third : 2 * third], samples[-third:]
    wrong = []
    before, after = (statistics.median(each.memory_mb for each in part) for part in (second, last))
    if after > before * MEMORY_MAX_GROWTH:
        wrong.append(f"memory grew from {before:.1f} to {after:.1f} MB")
    for name in ("sockets", "tasks"):
        # What a quiet process has of them varies by a few, as with a sweep: only more than ever before is growth.
        before_most, most = (max(getattr(each, name) for each in part) for part in (samples[:-third], last))
        if most > before_most:
            wrong.append(f"{name} grew from {before_most} to {most}")
    return wrong


async def _customer(
    running: Sidecar, method: str, path: str, body: bytes | None = None, leaves: float = 0
) -> Customer:
    return Customer(await running.control.buyer(1_000_000 * CREDIT), method, path, body, leaves)


async def _books(running: Sidecar, customer: Customer) -> list[str]:
    """What the books say that the clients know better."""

    async def nothing_held() -> bool:
        return not (await running.control.balance(customer.buyer)).held

    await until_async(nothing_held, "every hold to end")
    balance = await running.control.balance(customer.buyer)
    paid, most = customer.statuses[200], customer.statuses[200] + customer.broken
    wrong = [f"{customer.buyer.external_id} owes {balance.owed}"] if balance.owed else []
    if customer.fixed and not paid * CREDIT <= balance.spent <= most * CREDIT:
        wrong.append(f"{customer.buyer.external_id} had {paid} to {most} answers and was charged {balance.spent}")
    return wrong


def _treating() -> Callable[[Exchange], Awaitable[None]]:
    api = OpenAIApi(key=UPSTREAM_KEY)
    ways = (answers(), answers(), answers(), answers(b"x" * 100_000), answers(status=500), says(then="reset"))

    async def treat(exchange: Exchange) -> None:
        way = api if exchange.request.target.startswith(b"/v1/") else random.choice(ways)
        await way(exchange)

    return treat


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=15)
    options = parser.parse_args()
    print("| minutes | answers | faults | memory, MB | sockets | tasks |\n|---|---|---|---|---|---|")
    _, wrong, happened, statuses = asyncio.run(soak(options.minutes))
    print("\nanswers:", ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())))
    print("faults:", ", ".join(f"{count} × {name}" for name, count in sorted(happened.items())))
    print("\n".join(wrong) or "All is flat, the books bear the clients out, and verify finds nothing.")
    sys.exit(1 if wrong else 0)


def _row(sample: Sample) -> str:
    figures = (f"{sample.minutes:.1f}", sample.answers, sample.faults, f"{sample.memory_mb:.1f}")
    return f"| {' | '.join(map(str, (*figures, sample.sockets, sample.tasks)))} |"


if __name__ == "__main__":
    main()
