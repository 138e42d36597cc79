"""Holds that grow while answers stream, and answers that end when credit does: to the event, to the base unit."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.domain.outcomes import Balance
from sidecar.store.commands import RESIZE
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.books import open_lane
from tests.support.rawhttp import Answer, RawClient, fetch, request
from tests.support.relay import Relay, serving
from tests.support.store import StoreServer
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Script, Upstream, answers, chunk, head, says

RULES = Path(__file__).parent / "elastic.yaml"
JSON = ("content-type", "application/json")
EVENTS = (("content-type", "text/event-stream"), ("transfer-encoding", "chunked"))
LINES = (("content-type", "application/x-ndjson"), ("transfer-encoding", "chunked"))
ASKED = json.dumps({"model": "m", "stream": True, "stream_options": {"include_usage": True}}).encode()
CHAT = "/cut/chat"
UNIT = 1000
"""What a byte of text costs, a step, and a byte."""


def delta(text: str, **more: Any) -> bytes:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: %b\n\n" % json.dumps(chunk | {"choices": [choice]} | more, separators=(",", ":")).encode()


def usage(output: int) -> bytes:
    told = {"id": "c1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": output}}
    return b"data: %b\n\n" % json.dumps(told).encode()


DONE = b"data: [DONE]\n\n"


def stream(*events: bytes, fields: tuple[tuple[str, str], ...] = EVENTS) -> Script:
    """Each event in a write of its own, then the end."""
    return says(head(200, *fields), *map(chunk, events), chunk(b""))


def endless(event: bytes, fields: tuple[tuple[str, str], ...] = EVENTS) -> tuple[Script, list[bool]]:
    """The same event until the client leaves; and whether it has."""
    left: list[bool] = []

    async def script(exchange: Exchange) -> None:
        await exchange.body()
        try:
            await exchange.send(head(200, *fields))
            while True:
                await exchange.send(chunk(event))
        finally:
            left.append(True)

    return script, left


def gated(event: bytes) -> tuple[Script, list[bool], Gate]:
    """The same, once the gate is open."""
    script, left = endless(event)
    gate = Gate()

    async def waits(exchange: Exchange) -> None:
        await gate.pause()
        await script(exchange)

    return waits, left, gate


@asynccontextmanager
async def open_shop(lane: Lane, script: Script, granted: int, **more: Any) -> AsyncIterator[Shop]:
    async with (
        Upstream(script) as upstream,
        Shop(lane, upstream, rules=RULES, granted=granted * UNIT, **more) as shop,
    ):
        yield shop


async def ask(shop: Shop, path: str = CHAT) -> Answer:
    return await fetch(shop.port, "POST", path, shop.bearer, JSON, body=ASKED)


async def spent(shop: Shop) -> Balance:
    """The books when all is over: exactly what there was, and no debt."""
    balance = await shop.settled()
    assert balance.owed == 0
    return balance


class TestGrowth:
    @pytest.mark.parametrize("path", [CHAT, "/finish/chat"])
    async def test_the_hold_grows_with_the_answer_and_the_bytes_are_the_upstream_s(
        self, lane: Lane, path: str
    ) -> None:
        events = [delta("12345678")] * 20 + [usage(160), DONE]
        gate = Gate()

        async def script(exchange: Exchange) -> None:
            await exchange.body()
            await exchange.send(head(200, *EVENTS), *map(chunk, events[:10]))
            await gate.pause()
            await exchange.send(*map(chunk, events[10:]), chunk(b""))

        async with open_shop(lane, script, 1000) as shop:
            asking = asyncio.ensure_future(ask(shop, path))
            # An answer that is not cut waits for nothing: it could end before its hold has grown.
            await until(lambda: shop.holds.upkeep.grown_total, "the hold to have grown")
            gate.open()
            answer = await asking
            assert answer.body == b"".join(events)
            assert (await spent(shop)).spent == 160 * UNIT
            assert shop.metrics.cut == {}
            assert shop.holds.upkeep.exhausted_total == 0
            assert path != CHAT or shop.metrics.held["credits"] >= 160 * UNIT

    async def test_without_the_key_nothing_grows(self, lane: Lane) -> None:
        async with open_shop(lane, stream(*[delta("12345678")] * 20, usage(160), DONE), 1000) as shop:
            await ask(shop, "/fixed/chat")
            assert shop.holds.upkeep.grown_total == 0
            assert (await spent(shop)).spent == 160 * UNIT

    async def test_it_never_grows_beyond_max_charge(self, lane: Lane) -> None:
        gate = Gate()

        async def script(exchange: Exchange) -> None:
            await exchange.body()
            await exchange.send(head(200, *EVENTS), *[chunk(delta("x" * 100))] * 30)
            await gate.pause()
            await exchange.send(chunk(b""))

        async with open_shop(lane, script, 5000) as shop, RawClient(shop.port) as client:
            await client.send(request("POST", CHAT, shop.bearer, JSON, body=ASKED))
            await gate.reached()

            async def held() -> int:
                return (await shop.balance()).held

            for _ in range(30):
                await client.receive(until=b"\n\n")
            assert await held() == 1000 * UNIT
            gate.open()
            await client.receive(until=b"0\r\n\r\n")
            assert (await spent(shop)).spent == 1000 * UNIT

    async def test_what_cannot_grow_finishes_for_debt(self, lane: Lane) -> None:
        events = [delta("12345678")] * 20 + [usage(160), DONE]
        gate = Gate()

        async def script(exchange: Exchange) -> None:
            await exchange.body()
            await exchange.send(head(200, *EVENTS), *map(chunk, events[:15]))
            await gate.pause()
            await exchange.send(*map(chunk, events[15:]), chunk(b""))

        async with open_shop(lane, script, 100) as shop:
            asking = shop.tasks.start(ask(shop, "/finish/chat"), "the client")
            await until(lambda: shop.holds.upkeep.exhausted_total, "the credit to be used up")
            assert (await shop.balance()).held == 100 * UNIT
            gate.open()
            assert (await asking).body == b"".join(events)
            await until(lambda: shop.holds.settling.pending == 0 and not shop.proxy._engine.running, "the settlement")
            balance = await shop.balance()
            assert (balance.spent + balance.owed, balance.available) == (160 * UNIT, 0)

    async def test_json_is_not_cut(self, lane: Lane) -> None:
        body = json.dumps(
            {"choices": [{"message": {"content": "x" * 300}}], "usage": {"prompt_tokens": 1, "completion_tokens": 90}}
        ).encode()
        async with open_shop(lane, answers(body, JSON), 100) as shop:
            assert (await ask(shop)).body == body
            assert (await spent(shop)).spent == 90 * UNIT


def last_events(body: bytes, events: bytes) -> list[dict[str, Any]]:
    """What follows `events`, each as JSON."""
    assert body.startswith(events)
    return [
        json.loads(event.split(b"data: ")[1]) for event in body[len(events) :].split(b"\n\n") if b"data: {" in event
    ]


class TestCut:
    @pytest.mark.parametrize("fit", [0, 1, 8, 15, 40])
    async def test_exactly_before_the_event_that_is_not_paid_for(self, lane: Lane, fit: int) -> None:
        event = delta("12345678")
        script, left = endless(event)
        async with open_shop(lane, script, 10 + 8 * fit + 3) as shop:
            answer = await ask(shop)
            count = (10 + 8 * fit + 3) // 8
            (chunk,) = last_events(answer.body, event * count)
            assert chunk["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]
            assert (chunk["id"], chunk["model"], chunk["created"]) == ("c1", "m", 7)
            assert b": credit_exhausted\n" in answer.body
            assert answer.body.endswith(DONE)
            balance = await spent(shop)
            assert (balance.spent, shop.metrics.cut["chat-cut"]) == (8 * count * UNIT, 1)
            assert shop.metrics.charges["estimated"] == 1
            await until(lambda: left, "the upstream to be left")

    async def test_what_a_repetition_paid_before_is_not_wanted_again(self, lane: Lane) -> None:
        """80 were charged, and 10 are left: an answer for 85 is paid for, and one for more than 90 is not."""
        costs = iter([80, 85, 160])

        async def script(exchange: Exchange) -> None:
            cost = next(costs)
            await stream(*[delta("12345")] * (cost // 5), usage(cost), DONE)(exchange)

        async with open_shop(lane, script, 90) as shop:
            bodies = []
            for _ in range(3):
                key = ("idempotency-key", "k1")
                answer = await fetch(shop.port, "POST", "/once/chat", shop.bearer, JSON, key, body=ASKED)
                bodies.append(answer.body)
                await shop.settled()
            assert [b"credit_exhausted" in body for body in bodies] == [False, False, True]
            assert bodies[2].startswith(delta("12345") * 18 + b": credit_exhausted\n")
            assert (await spent(shop)).spent == 90 * UNIT

    async def test_many_events_at_once_are_cut_between_two_of_them(self, lane: Lane) -> None:
        event = delta("12345678")
        script = says(head(200, *EVENTS) + chunk(event * 100 + usage(800) + DONE) + chunk(b""))
        async with open_shop(lane, script, 100) as shop:
            answer = await ask(shop)
            assert answer.body.startswith(event * 12 + b": credit_exhausted\n")
            assert (await spent(shop)).spent == 96 * UNIT

    async def test_no_half_event_comes_before_the_end(self, lane: Lane) -> None:
        event = delta("12345678")
        whole = event * 30
        pieces = [whole[start : start + 7] for start in range(0, len(whole), 7)]
        async with open_shop(lane, stream(*pieces), 100) as shop:
            answer = await ask(shop)
            assert answer.body.startswith(event * 12 + b": credit_exhausted\n")
            assert (await spent(shop)).spent == 96 * UNIT

    async def test_what_the_answer_has_told_is_charged_and_not_owed(self, lane: Lane) -> None:
        """The whole answer has been delivered when its usage turns out to be more than there is."""
        events = [delta("12345678"), usage(500), DONE]
        async with open_shop(lane, stream(*events), 100) as shop:
            assert (await ask(shop)).body == b"".join(events)
            assert (await spent(shop)).spent == 100 * UNIT
            assert not shop.metrics.cut

    async def test_a_stream_with_a_length_can_be_cut_too(self, lane: Lane) -> None:
        event = delta("12345678")
        async with open_shop(lane, answers(event * 50, EVENTS[0]), 20) as shop:
            answer = await ask(shop)
            assert answer.body.startswith(event * 2 + b": credit_exhausted\n")
            assert answer.body.endswith(DONE)

    async def test_no_coding_is_asked_for_and_one_that_comes_all_the_same_just_breaks_off(self, lane: Lane) -> None:
        events = gzip.compress(delta("x" * 64) * 50)
        script = stream(events[:20], events[20:], fields=(*EVENTS, ("content-encoding", "gzip")))
        async with open_shop(lane, script, 20) as shop, RawClient(shop.port) as client:
            gzipped = ("Accept-Encoding", "gzip")
            await client.send(request("POST", CHAT, shop.bearer, JSON, gzipped, body=ASKED))
            assert not (await client.ended()).endswith(b"0\r\n\r\n")
            assert shop.upstream.requests[0].get(b"accept-encoding") == b"identity"
            assert (await spent(shop)).spent == 0

    async def test_a_small_piece_in_a_coding_may_hold_much(self, lane: Lane) -> None:
        coder = zlib.compressobj(wbits=31)
        pieces = [coder.compress(delta("x" * 100)) + coder.flush(zlib.Z_SYNC_FLUSH) for _ in range(20)]
        gate = Gate()

        async def script(exchange: Exchange) -> None:
            await exchange.body()
            await exchange.send(head(200, *EVENTS, ("content-encoding", "gzip")))
            for piece in pieces:
                await exchange.send(chunk(piece))
            await gate.pause()

        async with open_shop(lane, script, 350) as shop, RawClient(shop.port) as client:
            await client.send(request("POST", CHAT, shop.bearer, JSON, body=ASKED))
            await client.ended()
            assert (await spent(shop)).spent in {0, 100 * UNIT, 200 * UNIT, 300 * UNIT}
            gate.open()

    async def test_steps_of_an_unknown_api_end_with_an_error(self, lane: Lane) -> None:
        event = b'data: {"step":4}\n\n'
        script, _ = endless(event)
        async with open_shop(lane, script, 21) as shop:
            answer = await ask(shop, "/cut/steps")
            (error,) = last_events(answer.body, event * 5)
            assert (error["error"]["code"], error["error"]["status"]) == ("credit_exhausted", 402)
            assert error["error"]["instance"] == answer.get("x-reservation-id")
            assert b"event: error\n" in answer.body
            assert (await spent(shop)).spent == 20 * UNIT

    async def test_lines(self, lane: Lane) -> None:
        line = b'{"step":4}\n'
        script, _ = endless(line * 3 + line[:5], LINES)
        async with open_shop(lane, script, 10) as shop:
            answer = await ask(shop, "/cut/steps")
            assert answer.body.startswith(line * 2 + b'{"error":{')
            assert answer.body.count(b"\n") == 3
            assert (await spent(shop)).spent == 8 * UNIT

    async def test_bytes_just_break_off(self, lane: Lane) -> None:
        script, _ = endless(b"12345678", (("transfer-encoding", "chunked"),))
        async with open_shop(lane, script, 100) as shop, RawClient(shop.port) as client:
            await client.send(request("POST", "/cut/bytes", shop.bearer, JSON, body=ASKED))
            got = await client.ended()
            assert not got.endswith(b"0\r\n\r\n")
            assert 0 < (await spent(shop)).spent == got.count(b"12345678") * 8 * UNIT <= 100 * UNIT

    async def test_time_passes_while_nothing_comes(self, lane: Lane) -> None:
        """0.1 s are held, there is credit for 0.7 s."""

        async def quiet(exchange: Exchange) -> None:
            await exchange.body()
            await exchange.send(head(200, *EVENTS) + chunk(b": hello\n\n"))
            await exchange.gone()

        async with Upstream(quiet) as upstream, Shop(lane, upstream, rules=RULES, granted=700) as shop:
            answer = await ask(shop, "/cut/time")
            assert b"event: error\n" in answer.body
            balance = await spent(shop)
            assert 100 < balance.spent <= 700
            assert shop.holds.upkeep.grown_total >= 1


class TestTroubles:
    """With a store of its own that can be stopped, and a lane that waits for 0.3 s."""

    @pytest.fixture
    async def own_lane(self, store_server: StoreServer) -> AsyncIterator[Lane]:
        async with open_lane(store_server.url, 0.3) as lane:
            yield lane

    async def test_a_client_that_goes_while_the_hold_grows(self, own_lane: Lane, store_server: StoreServer) -> None:
        script, left, gate = gated(delta("12345678"))
        async with open_shop(own_lane, script, 100) as shop:
            async with RawClient(shop.port) as client:
                await client.send(request("POST", CHAT, shop.bearer, JSON, body=ASKED))
                await gate.reached()
                store_server.pause()
                gate.open()
                got = await client.receive(until=delta("12345678"))
            await until(lambda: left, "the upstream to be left")
            store_server.resume()
            assert (await spent(shop)).spent == got.count(b"12345678") * 8 * UNIT == 8 * UNIT

    async def test_a_store_that_is_away_while_the_hold_should_grow(
        self, own_lane: Lane, store_server: StoreServer
    ) -> None:
        """What is held is all that is sure; the charge follows when the store is back."""
        script, _, gate = gated(delta("12345678"))
        async with open_shop(own_lane, script, 100) as shop, RawClient(shop.port) as client:
            await client.send(request("POST", CHAT, shop.bearer, JSON, body=ASKED))
            await gate.reached()
            store_server.pause()
            gate.open()
            await client.receive(until=delta("12345678"))
            await until(lambda: shop.metrics.cut["chat-cut"], "the cut")
            store_server.resume()
            assert (await spent(shop)).spent == 8 * UNIT

    async def test_a_reply_that_is_lost_on_the_way(self, store_server: StoreServer) -> None:
        """The hold has grown, and nobody here knows: what is charged and what comes back is right all the same."""
        relay = Relay(store_server.socket)
        async with serving(relay) as port, open_lane(f"redis://127.0.0.1:{port}", 0.3) as lane:
            script, _ = endless(delta("12345678"))
            async with open_shop(lane, script, 100) as shop:
                relay.lose_reply_to = RESIZE.sha
                answer = await ask(shop)
                count = answer.body.count(b"12345678")
                assert (relay.lost_total, count) == (1, 1)
                await until(lambda: lane.connected, "the connection to be back")
                assert (await spent(shop)).spent == 8 * UNIT

    async def test_a_hold_that_expired_is_held_again_when_it_shall_grow(
        self, own_lane: Lane, store_server: StoreServer
    ) -> None:
        script, _, gate = gated(delta("12345678"))
        async with open_shop(own_lane, script, 100) as shop:
            asking = shop.tasks.start(ask(shop), "the client")
            await gate.reached()
            (hold,) = shop.holds.upkeep._running
            first = hold.reservation_id
            # As a sweep would, after the process had stood still for long.
            await shop.ledger.release(hold.record, "expired")
            gate.open()
            answer = await asking
            assert answer.body.count(b"12345678") == 12
            assert hold.reservation_id == f"{first}.2"
            assert (await spent(shop)).spent == 96 * UNIT
            assert shop.holds.upkeep.lost_total == 1
