"""A request that stands still in a phase of its way, until it may go on: for what happens to it there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import h11

from sidecar.config.settings import Limits, Timeouts
from sidecar.domain.exits import Phase
from sidecar.domain.outcomes import Reserved
from sidecar.http1.exchange import Exchange as Proxied
from sidecar.store.commands import COMMIT, RESERVE
from sidecar.store.lane import Lane
from tests.proxy.aftermath import CREDIT, RULES
from tests.proxy.shop import Shop
from tests.support.books import Purse
from tests.support.rawhttp import Answer, RawClient, request
from tests.support.relay import Handler, serving
from tests.support.scripted_lane import Kept, ScriptedLane
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Script, Upstream, after, chunk, head

FREE, PAID, OTHER, PATIENT, HASTY = "/free", "/paid", "/other", "/patient", "/hasty"
HALF = b"POST %b HTTP/1.1\r\nhost: a\r\n%b\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"
"""A request of whose body more will come."""
SIZED = head(200, ("content-length", "8"))


class At(Upstream):
    """An upstream that is elsewhere: only its address."""

    def __init__(self, url: str, gate: asyncio.Event | None = None) -> None:
        """`gate` is what a handshake waits for."""
        super().__init__()
        self._url = url
        self.gate = gate or asyncio.Event()

    @property
    def url(self) -> str:
        return self._url


class Standing:
    """A request that has come to `phase`. `go` lets it go on; `played` is the upstream's end of it, if it has one."""

    def __init__(self, phase: Phase, shop: Shop, client: RawClient) -> None:
        self.phase = phase
        self.shop = shop
        self.client = client
        self.go: Callable[[], object] = lambda: None
        self.played: Exchange | None = None
        self.half, self.path, self.settles = False, PAID, True

    async def send(self, path: str, payer: tuple[str, str] | None = None) -> None:
        """Its bytes; `half` of them where the rest shall be broken."""
        payer = payer or self.shop.bearer
        if self.half:
            await self.client.send(HALF % (path.encode(), f"{payer[0]}: {payer[1]}".encode()))
        else:
            await self.client.send(request("GET", path, payer))

    @property
    def lane(self) -> ScriptedLane:
        assert isinstance(self.shop.lane, ScriptedLane)
        return self.shop.lane

    @property
    def exchange(self) -> Proxied:
        """The request in the proxy."""
        mine = self.client._writer.get_extra_info("sockname")[1]
        for connection in self.shop.proxy._engine.connections:
            assert connection._transport is not None
            if connection._transport.get_extra_info("peername")[1] == mine:
                assert connection._exchange is not None
                return connection._exchange
        raise AssertionError("the request is not there")


async def said_to(client: RawClient) -> Answer | None:
    """What a client got; None when that was no whole answer."""
    try:
        return await client.answer()
    except (ConnectionError, h11.RemoteProtocolError):
        return None


async def fetched(shop: Shop, path: str, *fields: tuple[str, str]) -> Answer | None:
    async with RawClient(shop.port) as client:
        await client.send(request("GET", path, *(fields or (shop.bearer,))))
        return await said_to(client)


class Injected(Exception):
    """A defect that a test has made."""


class _Raises:
    """Stands for the coroutine of a request, in whose next step something raises."""

    def __init__(self, exchange: Proxied) -> None:
        self._exchange = exchange
        self._story = exchange._story

    def send(self, _value: None) -> object:
        story = self._exchange._story = self._story
        assert story is not None
        return story.throw(Injected("made by a test"))


def inject_defect(exchange: Proxied) -> None:
    """Let what the request waits for raise."""
    exchange._story = _Raises(exchange)  # type: ignore[assignment]  # It has what a driver needs.


class Handshake:
    """A server that accepts connections, and takes part in a handshake on them when it may."""

    def __init__(self, upstream: Upstream) -> None:
        self.gate = asyncio.Event()
        self._upstream = upstream

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.gate.wait()
        answers, to_upstream = await asyncio.open_connection("127.0.0.1", self._upstream.port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pass(reader, to_upstream))
                both.create_task(_pass(answers, writer))
        except* ConnectionError:
            pass
        finally:
            to_upstream.close()


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
    target.close()


@asynccontextmanager
async def shop_for(
    phase: Phase,
    lane: Lane,
    script: Script | None = None,
    *,
    raw: Handler | None = None,
    tls_verify: bool = False,
    timeouts: Timeouts | None = None,
    limits: Limits | None = None,
    waiting_max: int = 100,
    ttl_ms: int = 60_000,
    settle_s: float = 5,
) -> AsyncIterator[Shop]:
    """A proxy in front of an upstream in which a request may stand in `phase`; `raw` is spoken to in TLS."""
    async with AsyncExitStack() as stack:
        if phase is Phase.TLS:
            secure = await stack.enter_async_context(Upstream(script, certificate="here.pem"))
            handshake = Handshake(secure)
            port = await stack.enter_async_context(serving(raw or handshake))
            upstream: Upstream = At(f"https://127.0.0.1:{port}", handshake.gate)
        else:
            upstream = await stack.enter_async_context(Upstream(script))
        most = 1 if phase is Phase.CONNECT else 100
        section: dict[str, Any] = {"connections_max": most, "waiting_max": waiting_max, "tls_verify": tls_verify}
        shop = Shop(ScriptedLane(lane), upstream, rules=RULES, timeouts=timeouts, limits=limits, **section)
        shop.holds._ttl_ms, shop.holds.settling._timeout_s = ttl_ms, settle_s
        yield await stack.enter_async_context(shop)


@asynccontextmanager
async def standing(
    phase: Phase, shop: Shop, *, half: bool = False, path: str = PAID, settles: bool = True
) -> AsyncIterator[Standing]:
    """A request that stands in `phase`. In the last one, the store has settled it already if it `settles`."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(RawClient(shop.port))
        request_ = Standing(phase, shop, client)
        request_.half, request_.path, request_.settles = half, path, settles
        await stack.enter_async_context(_BROUGHT_TO[phase](request_))
        yield request_
        request_.go()


@asynccontextmanager
async def _in_identity(one: Standing) -> AsyncIterator[None]:
    kept = Kept()
    one.lane.at(b"$3\r\nGET\r\n", kept)
    one.go = kept.go
    await one.send(PAID, ("X-User", "alice"))
    await kept.asked.wait()
    yield


@asynccontextmanager
async def _in_hold(one: Standing) -> AsyncIterator[None]:
    kept = Kept()
    one.lane.at(RESERVE.sha, kept)
    one.go = kept.go
    await one.send(one.path)
    await kept.asked.wait()
    yield


@asynccontextmanager
async def _in_wait(one: Standing) -> AsyncIterator[None]:
    other = Purse(one.lane.real, one.shop.customer_id, "alice")
    record = other.record("other", 60 * CREDIT, rule="other")
    assert isinstance(await other.ledger.reserve(record, other.credential), Reserved)
    await one.send(PATIENT)
    await until(lambda: one.shop.queue.waiting == 1, "it to wait")
    freed = asyncio.Event()
    one.go = freed.set

    async def free() -> None:
        await freed.wait()
        await other.ledger.release(record, "over")

    async with asyncio.TaskGroup() as group:
        group.create_task(free())
        yield
        freed.set()


@asynccontextmanager
async def _in_connect(one: Standing) -> AsyncIterator[None]:
    """Another request has the only connection."""
    gate = Gate()

    one.shop.upstream.once(after(gate))
    one.go = gate.open
    async with RawClient(one.shop.port) as other:
        await other.send(request("GET", FREE))
        await gate.reached()
        await one.send(one.path)
        await until(lambda: one.shop.proxy._upstreams.waiting == 1, "it to wait for a connection")
        yield
        gate.open()


@asynccontextmanager
async def _in_tls(one: Standing) -> AsyncIterator[None]:
    await one.send(one.path)
    await until(lambda: one.shop.proxy._upstreams.waiting == 1, "it to wait for its connection")
    upstream = one.shop.upstream
    assert isinstance(upstream, At)
    one.go = upstream.gate.set
    yield


@asynccontextmanager
async def _at_upstream(one: Standing, first: bytes = b"", rest: bytes = b"") -> AsyncIterator[None]:
    """The upstream has the head, has answered `first`, and answers `rest` when it may."""
    gate = Gate()

    async def script(exchange: Exchange) -> None:
        one.played = exchange
        await exchange.send(first)
        await gate.pause()
        if not exchange.closed and rest:
            await exchange.send(rest)

    one.shop.upstream.once(script)
    one.go = gate.open
    await one.send(one.path)
    await gate.reached()
    yield
    gate.open()


def _in_send(one: Standing) -> AbstractAsyncContextManager[None]:
    """Half of its body is missing, and nobody waits for it here."""
    one.half = True
    return _at_upstream(one, rest=SIZED + b"whole of")


def _in_head(one: Standing) -> AbstractAsyncContextManager[None]:
    return _at_upstream(one, rest=SIZED + b"whole of")


@asynccontextmanager
async def _in_body(one: Standing) -> AsyncIterator[None]:
    first = head(200, ("transfer-encoding", "chunked")) + chunk(b"half")
    async with _at_upstream(one, first, chunk(b"rest") + b"0\r\n\r\n"):
        one.client._buffer = await one.client.receive(until=b"half\r\n")
        yield


@asynccontextmanager
async def _in_settle(one: Standing) -> AsyncIterator[None]:
    kept = Kept(before=not one.settles)
    one.lane.at(COMMIT.sha, kept)
    one.go = kept.go
    await one.send(one.path)
    await kept.asked.wait()
    yield


_BROUGHT_TO: dict[Phase, Callable[[Standing], AbstractAsyncContextManager[None]]] = {
    Phase.IDENTITY: _in_identity,
    Phase.HOLD: _in_hold,
    Phase.WAIT: _in_wait,
    Phase.CONNECT: _in_connect,
    Phase.TLS: _in_tls,
    Phase.SEND: _in_send,
    Phase.HEAD: _in_head,
    Phase.BODY: _in_body,
    Phase.SETTLE: _in_settle,
}
WHERE_IT_STANDS = frozenset(_BROUGHT_TO)
"""All but the rule, which is found without a wait."""
