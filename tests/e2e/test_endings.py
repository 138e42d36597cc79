"""Clients that leave and a proxy that stops: the hold is settled once, whatever the moment."""

import signal

import openai
import pytest

from tests.e2e.house import CREDIT, MODEL, House, chat_estimate, chat_hold, sidecar
from tests.support.imitation import Delivery
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Exchange, Gate, answers

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT_STREAM = b'{"model":"gpt-4o-mini","stream":true,"max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}'


async def test_a_client_that_leaves_a_stream_pays_for_what_came_and_holds_nothing(house: House) -> None:
    gate = Gate()
    house.models.deliver(Delivery(gate=gate))
    buyer = await house.control.buyer(CREDIT)
    base_url = f"http://127.0.0.1:{house.port}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=buyer.secret) as client:
        stream = await client.chat.completions.create(
            model=MODEL, stream=True, max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
        )
        first = await anext(aiter(stream))
        assert first.choices
        assert (await house.control.balance(buyer)).held > 0
        await stream.close()
    balance = await house.settled_later(buyer)
    # A few tokens at 6, and the input: what was delivered, not the 100 tokens that were held.
    assert 6 < balance.spent < 100
    gate.open()


@pytest.mark.parametrize("ending", ["reset", "close"])
@pytest.mark.parametrize("moment", ["before the head", "in the stream"])
async def test_a_client_that_hangs_up_leaves_no_hold(house: House, ending: str, moment: str) -> None:
    gate = Gate()
    house.models.deliver(Delivery(gate=gate))
    if moment == "before the head":

        async def waits(exchange: Exchange) -> None:
            await exchange.body()
            await gate.pause()

        house.upstream.once(waits)
    buyer = await house.control.buyer(CREDIT)
    async with RawClient(house.port) as client:
        await client.send(request("POST", "/v1/chat/completions", buyer.bearer, body=CHAT_STREAM))
        await gate.reached()
        if moment == "in the stream":
            await client.receive(until=b"Bonjour")
        if ending == "reset":
            client.reset()
    balance = await house.settled_later(buyer)
    # Nobody can estimate an answer of which nothing was seen.
    seen = chat_estimate(CHAT_STREAM, b"Bonjour, ")
    assert balance.spent == (seen if moment == "in the stream" else chat_hold(CHAT_STREAM))
    gate.open()


async def test_a_client_that_closes_its_half_leaves_no_hold(house: House) -> None:
    """Whether it still waits for the answer cannot be known; the request ends all the same."""
    house.upstream.script = answers()
    buyer = await house.control.buyer(CREDIT)
    async with RawClient(house.port) as client:
        await client.send(request("GET", "/fixed/a", buyer.bearer))
        client.finish()
        await client.ended()
    balance = await house.settled_later(buyer)
    assert balance.spent in {0, CREDIT}


async def test_a_client_that_leaves_in_its_own_body_pays_nothing(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    async with RawClient(house.port) as client:
        await client.send(request("POST", "/v1/chat/completions", buyer.bearer, ("Content-Length", "500")) + b'{"mod')
    balance = await house.settled_later(buyer)
    assert balance.spent == 0
    assert house.upstream.requests == []


async def test_sigterm_finishes_the_stream_and_settles_it(house: House) -> None:
    gate = Gate()
    house.models.deliver(Delivery(gate=gate))
    buyer = await house.control.buyer(CREDIT)
    async with sidecar(upstream=house.upstream.url, store=house.store.url) as other:
        async with RawClient(other.proxy_port) as idle, RawClient(other.proxy_port) as client:
            await client.send(request("POST", "/v1/chat/completions", buyer.bearer, body=CHAT_STREAM))
            await gate.reached()
            other.send_signal(signal.SIGTERM)
            # An idle connection is closed and no new one is taken, while the stream still runs.
            assert await idle.ended() == b""
            with pytest.raises(ConnectionError):
                await fetch(other.proxy_port, "GET", "/v1/models")
            gate.open()
            answer = await client.answer("POST")
        assert b"[DONE]" in answer.body
        assert await other.ended() == 0
    await house.settled(buyer, spent=93)


async def test_sigterm_cuts_what_does_not_end_and_settles_it(house: House) -> None:
    gate = Gate()
    house.models.deliver(Delivery(gate=gate))
    buyer = await house.control.buyer(CREDIT)
    async with sidecar(upstream=house.upstream.url, store=house.store.url, timeouts__shutdown_s="0.2") as other:
        async with RawClient(other.proxy_port) as client:
            await client.send(request("POST", "/v1/chat/completions", buyer.bearer, body=CHAT_STREAM))
            await client.receive(until=b"Bonjour")
            other.send_signal(signal.SIGTERM)
            # The chunked body has no end: nobody can take it for a whole one.
            assert not (await client.ended()).endswith(b"0\r\n\r\n")
        assert await other.ended() == 0
    await house.settled(buyer, spent=chat_estimate(CHAT_STREAM, b"Bonjour, "))
    gate.open()


async def test_a_second_signal_ends_at_once(house: House) -> None:
    gate = Gate()
    house.models.deliver(Delivery(gate=gate))
    buyer = await house.control.buyer(CREDIT)
    async with (
        sidecar(upstream=house.upstream.url, store=house.store.url) as other,
        RawClient(other.proxy_port) as idle,
        RawClient(other.proxy_port) as client,
    ):
        await client.send(request("POST", "/v1/chat/completions", buyer.bearer, body=CHAT_STREAM))
        await gate.reached()
        other.send_signal(signal.SIGTERM)
        assert await idle.ended() == b""
        other.send_signal(signal.SIGTERM)
        assert await other.ended() == 128 + signal.SIGTERM
    gate.open()
