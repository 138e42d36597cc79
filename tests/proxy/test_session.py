"""WebSockets through the proxy, by a real client and a real server: passed on as they are, paid for as they last."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from sidecar.config.settings import Timeouts
from sidecar.domain.journal import Kind, Line
from sidecar.store.lane import Lane
from tests.proxy.aftermath import purse_of
from tests.proxy.shop import Shop
from tests.support.books import open_lane
from tests.support.rawhttp import RawClient, fetch
from tests.support.store import StoreServer
from tests.support.until import until
from tests.support.upstream import Upstream, answers

RULES = Path(__file__).parent / "sessions.yaml"
ASKED, SAID = 1000, 100
"""What a message of each side costs."""

Speaker = Callable[[ServerConnection], Awaitable[None]]


async def echo(server: ServerConnection) -> None:
    """Says everything back."""
    async for message in server:
        await server.send(message)


class Spoken:
    """A real server in the place of an upstream; `offers` are the extensions that it was offered."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.offers: list[str | None] = []
        self.closed: list[int | None] = []


@asynccontextmanager
async def open_shop(
    lane: Lane, granted: int = 100_000, speak: Speaker = echo, **more: Any
) -> AsyncIterator[tuple[Shop, Spoken]]:
    async def listen(server: ServerConnection) -> None:
        assert server.request is not None
        spoken.offers.append(server.request.headers.get("Sec-WebSocket-Extensions"))
        try:
            await speak(server)
        except ConnectionClosed:
            pass
        finally:
            spoken.closed.append(server.close_code)

    async with serve(listen, "127.0.0.1", 0) as server:
        spoken = Spoken(next(iter(server.sockets)).getsockname()[1])
        upstream = cast(Upstream, spoken)
        async with Shop(lane, upstream, rules=RULES, granted=granted, **more) as shop:
            yield shop, spoken


def talk(shop: Shop, path: str = "/talk", **more: Any) -> connect:
    headers = [] if path == "/free" else [shop.bearer]
    return connect(f"ws://127.0.0.1:{shop.port}{path}", additional_headers=headers, proxy=None, **more)


async def over(shop: Shop) -> Line:
    """The only line of the ledger about the session, when all is over; nothing is held any more."""
    await until(lambda: shop.proxy._engine.running == 0 and shop.holds.settling.pending == 0, "it to be settled")
    assert (await shop.balance()).held == 0
    assert not shop.holds.upkeep._running
    assert shop.metrics.sessions["talk"] == 0
    lines = [line for line in await purse_of(shop).lines() if line.hold is not None]
    return lines[-1]


def told(line: Line) -> tuple[Kind, int, str]:
    return line.kind, line.charged, line.usage


async def closing(client: ClientConnection) -> tuple[int | None, str | None]:
    """With which code and reason the server ends it."""
    await client.wait_closed()
    return client.close_code, client.close_reason


class TestPassing:
    async def test_messages_pass_and_each_is_paid_for(self, lane: Lane) -> None:
        async with open_shop(lane) as (shop, upstream):
            async with talk(shop) as client:
                assert client.response is not None
                assert client.response.headers["x-reservation-id"]
                for message in ("one", b"\x00two", "x" * 100_000):
                    await client.send(message)
                    assert await client.recv() == message
                assert shop.metrics.sessions["talk"] == 1
            assert told(await over(shop)) == (Kind.COMMIT, 3 * (ASKED + SAID), "asked=3 said=3")
            assert upstream.closed == [1000]
            assert shop.metrics.requests["talk", "charged"] == 1

    async def test_compression_is_not_offered_where_messages_are_read(self, lane: Lane) -> None:
        async with open_shop(lane) as (shop, upstream):
            for path in ("/talk", "/bytes"):
                async with talk(shop, path) as client:
                    await client.send("a" * 1000)
                    assert await client.recv() == "a" * 1000
            assert upstream.offers[0] is None
            assert upstream.offers[1] is not None

    async def test_openai_realtime(self, lane: Lane) -> None:
        usage = {"input_tokens": 50, "output_tokens": 20}
        said = [{"type": "response.created"}, {"type": "response.done", "response": {"usage": usage}}]

        async def speak(server: ServerConnection) -> None:
            async for _ in server:
                for event in said:
                    await server.send(json.dumps(event))

        async with open_shop(lane, speak=speak) as (shop, _):
            async with talk(shop, "/v1/realtime") as client:
                for _ in range(2):
                    await client.send('{"type": "response.create"}')
                    for event in said:
                        assert json.loads(await client.recv()) == event
            kind, charged, text = told(await over(shop))
            assert (kind, charged) == (Kind.COMMIT, 2 * (50 * 10 + 20 * 20))
            assert text.startswith("input_tokens=100 output_tokens=40")

    async def test_a_free_session_is_passed_on(self, lane: Lane) -> None:
        async with open_shop(lane) as (shop, _):
            async with talk(shop, "/free") as client:
                await client.send("hello")
                assert await client.recv() == "hello"
            await until(lambda: shop.metrics.requests["open", "free"] == 1, "it to be counted")

    async def test_in_shadow_nothing_is_refused(self, lane: Lane) -> None:
        async with open_shop(lane, granted=1000) as (shop, _):
            async with talk(shop, "/shadowed") as client:
                for _ in range(5):
                    await client.send("hello")
                    assert await client.recv() == "hello"
            await until(lambda: shop.metrics.requests["shadowed", "shadow"] == 1, "it to be counted")
            assert shop.metrics.uncharged["credits"] == 5 * ASKED
            assert (await shop.balance()).available == 1000

    async def test_who_cannot_pay_does_not_begin(self, lane: Lane) -> None:
        async with open_shop(lane, granted=1000) as (shop, upstream):
            with pytest.raises(InvalidStatus) as refused:
                await talk(shop)
            assert refused.value.response.status_code == 402
            assert upstream.offers == []

    async def test_a_rule_that_does_not_say_so_goes_over_to_nothing(self, lane: Lane) -> None:
        async with open_shop(lane) as (shop, upstream):
            with pytest.raises(InvalidStatus) as refused:
                await talk(shop, "/plain")
            assert refused.value.response.status_code == 501
            assert refused.value.response.headers["x-sidecar-refusal"] == "upgrade_unsupported"
            assert upstream.offers == []

    async def test_an_upstream_that_does_not_go_over_is_no_session(self, lane: Lane) -> None:
        async with Upstream(answers(b"no", status=403)) as upstream, Shop(lane, upstream, rules=RULES) as shop:
            with pytest.raises(InvalidStatus) as refused:
                await talk(shop)
            assert refused.value.response.status_code == 403
            assert (await over(shop)).kind is Kind.RELEASE

    async def test_without_asking_it_is_an_ordinary_request(self, lane: Lane) -> None:
        async with Upstream(answers(b"yes")) as upstream, Shop(lane, upstream, rules=RULES) as shop:
            assert (await fetch(shop.port, "GET", "/talk", shop.bearer)).body == b"yes"


class TestCredit:
    async def test_it_ends_with_the_last_message_that_is_paid_for(self, lane: Lane) -> None:
        async with open_shop(lane, granted=5 * (ASKED + SAID)) as (shop, upstream):
            async with talk(shop) as client:
                for _ in range(5):
                    await client.send("hello")
                    assert await client.recv() == "hello"
                await client.send("one more")
                code, reason = await closing(client)
            line = await over(shop)
            assert told(line) == (Kind.COMMIT, 5 * (ASKED + SAID), "asked=5 said=5 end=body.exhausted")
            assert line.hold is not None
            assert (code, reason) == (4402, f"credit_exhausted: the credit of {line.hold.reservation_id} was used up")
            balance = await shop.balance()
            assert (balance.available, balance.owed) == (0, 0)
            assert shop.metrics.cut == {"talk": 1}
            await until(lambda: upstream.closed, "the upstream to be left")

    async def test_a_flood_passes_exactly_what_is_paid_for(self, lane: Lane) -> None:
        received: list[str | bytes] = []

        async def listen(server: ServerConnection) -> None:
            while True:
                received.append(await server.recv())

        async with open_shop(lane, granted=50 * ASKED, speak=listen) as (shop, _):
            async with talk(shop) as client:
                with suppress(ConnectionClosed):
                    for number in range(10_000):
                        await client.send(f"{number}")
                assert (await closing(client))[0] == 4402
            assert told(await over(shop)) == (Kind.COMMIT, 50 * ASKED, "asked=50 end=body.exhausted")
            assert received == [f"{number}" for number in range(50)]

    async def test_time_alone_ends_it(self, lane: Lane) -> None:
        async with open_shop(lane, granted=100_000) as (shop, _):
            async with talk(shop, "/time") as client:
                assert (await closing(client))[0] == 4402
            line = await over(shop)
            assert line.charged == 100_000
            assert line.usage.endswith("end=body.exhausted")

    async def test_bytes_grow_the_hold(self, lane: Lane) -> None:
        async with open_shop(lane) as (shop, _):
            async with talk(shop, "/bytes", compression=None) as client:
                for _ in range(10):
                    await client.send(b"x" * 1000)
                    await client.recv()
            assert (await over(shop)).charged > 20_000
            assert shop.holds.upkeep.grown_total

    async def test_it_may_go_on_for_debt(self, lane: Lane) -> None:
        async with open_shop(lane, granted=3 * ASKED) as (shop, _):
            async with talk(shop, "/owing") as client:
                for _ in range(5):
                    await client.send("hello")
                    await client.recv()
            assert told(await over(shop))[2] == "asked=5"
            assert (await shop.balance()).owed == 2 * ASKED

    async def test_the_store_goes_in_the_middle_of_it(self, store_server: StoreServer) -> None:
        async with open_lane(store_server.url, 0.3) as lane, open_shop(lane) as (shop, _):
            async with talk(shop) as client:
                await client.send("hello")
                await client.recv()
                await until(lambda: shop.holds.upkeep.grown_total, "the hold to grow")
                store_server.pause()
                with suppress(ConnectionClosed):
                    for _ in range(100):
                        await client.send("hello")
                        await client.recv()
                assert (await closing(client))[0] == 4402
                store_server.resume()
            line = await over(shop)
            assert line.charged <= shop.metrics.held["credits"]
            assert line.usage.endswith("end=body.exhausted")


class TestSteps:
    async def test_what_was_used_is_charged_now_and_then(self, lane: Lane) -> None:
        async with open_shop(lane, timeouts=Timeouts(tunnel_step_s=0.001)) as (shop, _):
            async with talk(shop) as client:
                for step, messages in enumerate((3, 5), 1):
                    for _ in range(messages):
                        await client.send("hello")
                        await client.recv()
                    await until(lambda step=step: self.looked(shop) >= step, "the step")  # type: ignore[misc]
                    assert (await shop.balance()).spent == shop.metrics.charged["credits"]
                await client.send("hello")
                await client.recv()
            await over(shop)
            lines = [told(line) for line in await purse_of(shop).lines() if line.hold is not None]
            assert sum(charged for _, charged, _ in lines) == 9 * (ASKED + SAID)
            assert [kind for kind, _, _ in lines[:-1]] == [Kind.STEP_COMMIT] * (len(lines) - 1)
            assert lines[0] == (Kind.STEP_COMMIT, 3 * (ASKED + SAID), "asked=3 said=3")
            assert lines[-1] == (Kind.COMMIT, ASKED + SAID, "asked=1 said=1")
            assert shop.metrics.charged["credits"] == 9 * (ASKED + SAID)
            assert shop.metrics.held["credits"] == shop.metrics.charged["credits"] + shop.metrics.returned["credits"]

    def looked(self, shop: Shop) -> int:
        shop.holds.upkeep.look()
        return shop.holds.upkeep.steps_total

    async def test_steps_and_growth_end_with_the_credit(self, lane: Lane) -> None:
        async with open_shop(lane, granted=20 * (ASKED + SAID), timeouts=Timeouts(tunnel_step_s=0.001)) as (shop, _):
            async with talk(shop) as client:
                for step in (1, 2):
                    await client.send("hello")
                    await client.recv()
                    await until(lambda step=step: self.looked(shop) >= step, "the step")  # type: ignore[misc]
                with suppress(ConnectionClosed):
                    while True:
                        await client.send("hello")
                        await client.recv()
                        shop.holds.upkeep.look()
                assert (await closing(client))[0] == 4402
            await over(shop)
            lines = [told(line) for line in await purse_of(shop).lines() if line.hold is not None]
            assert len(lines) > 2
            assert sum(charged for _, charged, _ in lines) == 20 * (ASKED + SAID)
            balance = await shop.balance()
            assert (balance.available, balance.held, balance.owed) == (0, 0, 0)


class TestLength:
    async def test_it_lasts_for_many_lives_of_a_hold(self, lane: Lane) -> None:
        async with open_shop(lane, hold_ttl_s=0.4) as (shop, _):
            async with talk(shop) as client:
                for beats in range(1, 12):
                    await client.send("hello")
                    await client.recv()
                    await until(lambda beats=beats: shop.holds.upkeep.beats_total >= beats, "a heartbeat")  # type: ignore[misc]
            assert told(await over(shop)) == (Kind.COMMIT, 11 * (ASKED + SAID), "asked=11 said=11")
            assert shop.holds.upkeep.lost_total == 0


class TestEnds:
    async def test_a_client_that_vanishes_pays_for_what_was_used(self, lane: Lane) -> None:
        async with open_shop(lane) as (shop, upstream):
            client = await talk(shop)
            await client.send("hello")
            await client.recv()
            client.transport.abort()
            assert told(await over(shop)) == (Kind.COMMIT, ASKED + SAID, "asked=1 said=1 end=body.client_gone")
            await until(lambda: upstream.closed, "the upstream to be left")

    async def test_an_upstream_that_vanishes_is_paid_for_what_it_did(self, lane: Lane) -> None:
        async def speak(server: ServerConnection) -> None:
            await server.send(await server.recv())
            server.transport.abort()

        async with open_shop(lane, speak=speak) as (shop, _):
            async with talk(shop) as client:
                await client.send("hello")
                await client.recv()
                with pytest.raises(ConnectionClosedError):
                    await client.recv()
                assert client.close_code == 1006
            kind, charged, usage = told(await over(shop))
            assert (kind, charged, usage.split(" end=")[0]) == (Kind.COMMIT, ASKED + SAID, "asked=1 said=1")

    async def test_a_shutdown_says_goodbye(self, lane: Lane) -> None:
        async with open_shop(lane) as (shop, _):
            async with talk(shop) as client:
                await client.send("hello")
                await client.recv()
                draining = asyncio.ensure_future(shop.proxy.drain(0.05))
                assert await closing(client) == (1001, "the proxy is shutting down")
            assert await draining is False
            assert told(await over(shop)) == (Kind.COMMIT, ASKED + SAID, "asked=1 said=1 end=body.cut")

    async def test_silence_has_a_limit(self, lane: Lane) -> None:
        async with open_shop(lane, timeouts=Timeouts(tunnel_idle_s=0.2)) as (shop, _), talk(shop) as client:
            assert (await closing(client))[0] == 1001

    async def test_in_the_middle_of_a_frame_there_is_no_goodbye(self, lane: Lane) -> None:
        """Nothing could be told apart from the payload."""

        async def speak(server: ServerConnection) -> None:
            server.transport.write(b"\x82\x7e\x10\x00half")
            await server.wait_closed()

        async with open_shop(lane, speak=speak) as (shop, _), RawClient(shop.port) as client:
            await client.send(
                b"GET /talk HTTP/1.1\r\nHost: a\r\nAuthorization: %b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                % shop.bearer[1].encode()
            )
            await client.receive(until=b"half")
            await shop.proxy.drain(0.05)
            assert await client.ended() == b""
