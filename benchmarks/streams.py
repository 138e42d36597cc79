"""``python -m benchmarks.streams``: what it costs to read the usage of a stream of 2,000 events while it passes.

The same stream goes through our engine three times: relayed; metered as a shipped rule does it, so that the events
that only the proxy asked for are taken out; and metered so that it could be cut, with a hold that grows at once.
Client and upstream are one thread that sends an event when the one before has arrived, so each event is a read and a
write of its own. Time is CPU time of the proxy's thread, kernel included, the best of several streams. Exit 1 when
metering takes more than `BAR` times what relaying does, or `CUTTABLE_BAR` times where the stream could be cut.
"""

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import cast

import uvloop

from benchmarks import workload
from benchmarks.machine import awake_cores
from benchmarks.upstream import LAST_CHUNK, STREAM_HEAD, framed
from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import Charge, End
from sidecar.domain.meters.body import EVENTS as EVENT_STREAM
from sidecar.domain.quotes import Quote
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.rules import Rule
from sidecar.http1.client import ClientConnection
from sidecar.http1.engine import Engine, Limits
from sidecar.http1.errors import ProtocolError
from sidecar.http1.exchange import Exchange
from sidecar.http1.fields import Pairs, RequestPolicy
from sidecar.http1.heads import ResponseHead
from sidecar.http1.pool import Pool
from sidecar.http1.upstream import Origin
from sidecar.proxy.elastic import Cutting
from sidecar.services.hold import Hold
from sidecar.services.upkeep import Upkeep
from sidecar.store.hold_record import hold_record

EVENTS = 2_000
BAR, CUTTABLE_BAR = 1.3, 1.6
ROUNDS = 9
RULES = Path(__file__).parents[1] / "rules" / "openai.yaml"
POLICY = RequestPolicy(host=b"upstream")

HELD = 100
"""Base units at first; the stream costs some thousands."""
CUSTOMER = "cus_01jd0000000000000000000000"

Handler = Callable[[Exchange, Pool], Awaitable[Charge | None]]


async def relayed(exchange: Exchange, pool: Pool) -> None:
    """Forwards, and looks at nothing."""
    assert isinstance(await exchange.forward(pool, POLICY, POLICY.dropped()), ResponseHead)
    assert exchange.relay() is None
    await exchange.ended()
    exchange.finish()


async def metered(exchange: Exchange, pool: Pool) -> Charge:
    """Forwards and meters, as the story of a request does between its hold and its settlement."""
    body = await exchange.read_body(65_536)
    assert body is not None
    quote = _rule().quote(RequestFacts(exchange.head, workload.CHAT_PATH.encode(), b"", body, len(body)))
    assert isinstance(quote, Quote)
    answer = await exchange.forward(pool, POLICY, POLICY.dropped(), body=quote.body)
    assert isinstance(answer, ResponseHead)
    meter = quote.meter(answer.status, answer)
    assert exchange.relay(frozenset(), b"", meter.feed, meter.flush, quote.plain_answer) is None
    await exchange.ended()
    exchange.finish()
    return meter.finish(End.COMPLETE, exchange.request_bytes, exchange.response_bytes, 0)


async def cuttable(exchange: Exchange, pool: Pool) -> Charge:
    """The same with ``on_exhausted: cut``: what has been used is followed, and the hold is doubled at each half."""
    body = await exchange.read_body(65_536)
    assert body is not None
    quote = _rule().quote(RequestFacts(exchange.head, workload.CHAT_PATH.encode(), b"", body, len(body)))
    assert isinstance(quote, Quote)
    answer = await exchange.forward(pool, POLICY, POLICY.dropped(), body=quote.body)
    assert isinstance(answer, ResponseHead)
    record = hold_record(
        customer_id=CUSTOMER,
        payer_id=CUSTOMER,
        reservation_id="rsv_1",
        parts=(("credits", HELD),),
        ttl_ms=1,
        feature="",
        rule="chat",
    )
    hold = Hold(record, 0)
    meter = Cutting(
        exchange, quote.meter(answer.status, answer), quote, hold, cast(Upkeep, Plenty()), framing=EVENT_STREAM,
        on_cut=_not_cut,
    )  # fmt: skip
    assert exchange.relay(frozenset(), b"", meter.feed, meter.flush, rewrites=True) is None
    await exchange.ended()
    exchange.finish()
    assert hold.held > HELD
    return meter.finish(End.COMPLETE, exchange.request_bytes, exchange.response_bytes, 0)


class Plenty:
    """An upkeep for whom there always is enough, at once."""

    def watch(self, hold: Hold, look: Callable[[], None]) -> None:
        """Time costs nothing here."""

    def grow(self, hold: Hold, amount: int, then: Callable[[], None]) -> None:
        hold.held = amount
        asyncio.get_running_loop().call_soon(then)


def _not_cut() -> None:
    raise AssertionError("there is enough")


@cache
def _rule() -> Rule:
    nothing: dict[bytes, bytes] = {}
    rule = load_rules([RULES], {CREDITS.name: CREDITS}).match(b"POST", workload.CHAT_PATH.encode(), b"", nothing)
    assert rule is not None
    return rule


class Proxy:
    """Our engine between one client and one upstream, in this thread. `charge` is what the last stream cost."""

    def __init__(self, upstream_port: int) -> None:
        self.engine = Engine(Limits(), _refuse)
        self.engine.handler = self._handle
        self.handler: Handler = relayed
        self.charge: Charge | None = None
        origin = Origin(host="127.0.0.1", port=upstream_port)
        self.pool = Pool(self.engine, origin, connections_max=1, idle_max=1, idle_timeout_s=60)

    async def _handle(self, exchange: Exchange) -> None:
        self.charge = await self.handler(exchange, self.pool)


def _refuse(error: ProtocolError) -> tuple[Pairs, bytes]:
    raise error


class Peers:
    """Both ends of the proxy, in a thread of their own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(60)
        self.upstream_port: int = self._listener.getsockname()[1]
        self._ends: tuple[socket.socket, socket.socket] | None = None

    def stream(self, proxy_port: int, events: int) -> None:
        """One request and its answer, each event when the one before has arrived."""
        body = workload.request_body(stream=True)
        head = f"POST {workload.CHAT_PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        client, upstream = self._ends or (socket.create_connection(("127.0.0.1", proxy_port), 60), None)
        client.sendall(head.encode() + body)
        if upstream is None:
            upstream, _ = self._listener.accept()
            for end in (client, upstream):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._ends = client, upstream
        received = b""
        while not received.endswith(b"}"):
            received += upstream.recv(65_536)
        upstream.sendall(STREAM_HEAD)
        _arrived(client, b"\r\n\r\n")
        for number in range(events):
            upstream.sendall(framed(workload.event(number)))
            _arrived(client, b"\n\n\r\n")
        upstream.sendall(framed(workload.LAST_EVENTS) + LAST_CHUNK)
        _arrived(client, LAST_CHUNK)

    def close(self) -> None:
        for end in (self._listener, *(self._ends or ())):
            end.close()


def _arrived(client: socket.socket, ending: bytes) -> None:
    received = b""
    while not received.endswith(ending):
        piece = client.recv(65_536)
        assert piece, "the proxy closed the connection"
        received += piece


async def cpu_us(handler: Handler, peers: Peers, proxy: Proxy, port: int, events: int) -> float:
    """CPU time of the proxy's thread for one event of one stream, in microseconds."""
    proxy.handler = handler
    started_ns = time.thread_time_ns()
    await asyncio.get_running_loop().run_in_executor(None, peers.stream, port, events)
    return (time.thread_time_ns() - started_ns) / events / 1000


async def measure(rounds: int = ROUNDS, events: int = EVENTS) -> tuple[float, float, float, Charge]:
    """The best of each, relayed, metered and cuttable in turn, and what the last one was charged."""
    assert threading.current_thread() is threading.main_thread()
    peers = Peers()
    proxy = Proxy(peers.upstream_port)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ClientConnection(proxy.engine), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    best = dict.fromkeys((relayed, metered, cuttable), float("inf"))
    try:
        for handler in (relayed, metered, cuttable) * rounds:
            best[handler] = min(best[handler], await cpu_us(handler, peers, proxy, port, events))
    finally:
        peers.close()
        server.close()
        await proxy.pool.close()
    assert proxy.charge is not None
    return best[relayed], best[metered], best[cuttable], proxy.charge


def main() -> None:
    with awake_cores():
        # A core that halts between two events makes every wake-up cost several times what is measured here.
        of_relayed, of_metered, of_cuttable, charge = uvloop.run(measure())
    print(f"{EVENTS} events: relayed {of_relayed:.2f} µs each; {charge.usage}")
    missed = False
    for name, us, bar in (("metered", of_metered, BAR), ("cuttable", of_cuttable, CUTTABLE_BAR)):
        ratio = us / of_relayed
        missed = missed or ratio > bar
        print(f"{name}, {us:.2f} µs: {'met' if ratio <= bar else 'NOT met'}: {ratio:.2f}, at most {bar}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
