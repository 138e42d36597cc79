"""The stock Anthropic SDK in front of the proxy: it notices nothing, and each answer is charged to the base unit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam

from tests.e2e.house import CLAUDE, CREDIT, UPSTREAM_KEY, House
from tests.support.rawhttp import fetch

pytestmark = pytest.mark.asyncio(loop_scope="session")

# 5 characters are 2 tokens, and 4 for the message: 6; the answer has 14 tokens. 6 x 3 + 14 x 15 = 228.
MESSAGES: list[MessageParam] = [{"role": "user", "content": "Hello"}]
PRICE = 228

Answer = list[dict[str, Any]]


async def message(client: anthropic.AsyncAnthropic) -> Answer:
    return [(await client.messages.create(model=CLAUDE, max_tokens=100, messages=MESSAGES)).model_dump()]


async def message_stream(client: anthropic.AsyncAnthropic) -> Answer:
    stream = await client.messages.create(model=CLAUDE, max_tokens=100, messages=MESSAGES, stream=True)
    return [each.model_dump() async for each in stream]


async def accumulated_stream(client: anthropic.AsyncAnthropic) -> Answer:
    async with client.messages.stream(model=CLAUDE, max_tokens=100, messages=MESSAGES) as stream:
        return [(await stream.get_final_message()).model_dump()]


def sync_message(client: anthropic.Anthropic) -> Answer:
    return [client.messages.create(model=CLAUDE, max_tokens=100, messages=MESSAGES).model_dump()]


def sync_message_stream(client: anthropic.Anthropic) -> Answer:
    stream = client.messages.create(model=CLAUDE, max_tokens=100, messages=MESSAGES, stream=True)
    return [each.model_dump() for each in stream]


@pytest.mark.parametrize("ask", [message, message_stream, accumulated_stream])
async def test_async_answers_are_the_direct_ones_and_are_charged(
    house: House, ask: Callable[[anthropic.AsyncAnthropic], Awaitable[Answer]]
) -> None:
    buyer = await house.control.buyer(CREDIT)
    async with anthropic.AsyncAnthropic(base_url=house.upstream.url, api_key=UPSTREAM_KEY) as direct:
        expected = await ask(direct)
    async with anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{house.port}", api_key=buyer.secret) as proxied:
        assert await ask(proxied) == expected
        balance = await house.settled(buyer, spent=PRICE)
    assert balance.available == CREDIT - PRICE


@pytest.mark.parametrize("ask", [sync_message, sync_message_stream])
async def test_sync_answers_are_the_direct_ones_and_are_charged(
    house: House, ask: Callable[[anthropic.Anthropic], Answer]
) -> None:
    buyer = await house.control.buyer(CREDIT)

    def both() -> tuple[Answer, Answer]:
        with (
            anthropic.Anthropic(base_url=house.upstream.url, api_key=UPSTREAM_KEY) as direct,
            anthropic.Anthropic(base_url=f"http://127.0.0.1:{house.port}", api_key=buyer.secret) as proxied,
        ):
            return ask(direct), ask(proxied)

    expected, answer = await asyncio.to_thread(both)
    assert answer == expected
    await house.settled(buyer, spent=PRICE)


async def test_cache_reads_and_writes_are_charged_beside_the_input(house: House) -> None:
    house.models.anthropic.cache_read_tokens = 1000
    house.models.anthropic.cache_write_tokens = 500
    buyer = await house.control.buyer(CREDIT)
    async with anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{house.port}", api_key=buyer.secret) as client:
        await message(client)
        await house.settled(buyer, spent=PRICE + 2500)  # 1000 x 0.5 + 500 x 4
        await message_stream(client)
        await house.settled(buyer, spent=2 * (PRICE + 2500))


async def test_the_older_header_for_the_key_works_and_stays_here(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    body = b'{"model":"claude-haiku-4-5","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}'
    fields = (("X-Api-Key", buyer.secret), ("anthropic-version", "2023-06-01"))
    answer = await fetch(house.port, "POST", "/v1/messages", *fields, body=body)
    assert answer.status == 200
    assert buyer.secret.encode() not in house.upstream.requests[0].head
    await house.settled(buyer, spent=6 * 3 + 9 * 15)


@pytest.mark.parametrize("status", [429, 500, 529])
async def test_errors_of_the_api_arrive_as_they_are_and_cost_nothing(house: House, status: int) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.models.anthropic.failures.append(status)
    base_url = f"http://127.0.0.1:{house.port}"
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key=buyer.secret, max_retries=0) as client:
        with pytest.raises(anthropic.APIStatusError) as refused:
            await message(client)
    assert refused.value.status_code == status
    assert "As the test asked." in refused.value.message
    await house.settled(buyer, spent=0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_an_empty_purse_is_one_request_and_a_clear_exception(house: House, stream: bool) -> None:
    buyer = await house.control.buyer(10)
    requests: list[object] = []

    async def count(request: object) -> None:
        requests.append(request)

    http_client = anthropic.DefaultAsyncHttpxClient(event_hooks={"request": [count]})
    base_url = f"http://127.0.0.1:{house.port}"
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key=buyer.secret, http_client=http_client) as client:
        with pytest.raises(anthropic.APIStatusError) as refused:
            await client.messages.create(model=CLAUDE, max_tokens=100, messages=MESSAGES, stream=stream)
    assert refused.value.status_code == 402
    assert isinstance(refused.value.body, dict)
    assert refused.value.body["type"] == "error"
    assert refused.value.body["code"] == "insufficient_credits"
    assert "credit" in refused.value.body["error"]["message"].lower()
    assert len(requests) == 1
    assert house.upstream.requests == []
    await house.settled(buyer, spent=0)


async def test_an_unknown_key_is_an_authentication_error(house: House) -> None:
    async with anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{house.port}", api_key="sk-ant-nobody") as client:
        with pytest.raises(anthropic.AuthenticationError):
            await message(client)
    assert house.upstream.requests == []
