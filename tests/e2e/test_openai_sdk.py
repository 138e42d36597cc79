"""The stock OpenAI SDK in front of the proxy: it notices nothing, and each answer is charged to the base unit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.house import CREDIT, MODEL, UPSTREAM_KEY, House

pytestmark = pytest.mark.asyncio(loop_scope="session")

# 32 characters are 8 tokens, and 4 for the message: 12; the answer has 14 tokens.
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello in every way you know."}]

Answer = list[dict[str, Any]]


async def chat(client: openai.AsyncOpenAI) -> Answer:
    return [(await client.chat.completions.create(model=MODEL, messages=MESSAGES)).model_dump()]


async def short_chat(client: openai.AsyncOpenAI) -> Answer:
    answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES, max_completion_tokens=5)
    return [answer.model_dump()]


async def chat_stream(client: openai.AsyncOpenAI) -> Answer:
    stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    return [each.model_dump() async for each in stream]


async def chat_stream_with_usage(client: openai.AsyncOpenAI) -> Answer:
    stream = await client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    return [each.model_dump() async for each in stream]


async def response(client: openai.AsyncOpenAI) -> Answer:
    return [(await client.responses.create(model=MODEL, input="Hello")).model_dump()]


async def response_stream(client: openai.AsyncOpenAI) -> Answer:
    stream = await client.responses.create(model=MODEL, input="Hello", stream=True)
    return [each.model_dump() async for each in stream]


async def embeddings(client: openai.AsyncOpenAI) -> Answer:
    return [(await client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])).model_dump()]


async def models(client: openai.AsyncOpenAI) -> Answer:
    return [model.model_dump() async for model in client.models.list()]


def sync_chat(client: openai.OpenAI) -> Answer:
    return [client.chat.completions.create(model=MODEL, messages=MESSAGES).model_dump()]


def sync_chat_stream(client: openai.OpenAI) -> Answer:
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    return [each.model_dump() for each in stream]


def sync_response_stream(client: openai.OpenAI) -> Answer:
    return [each.model_dump() for each in client.responses.create(model=MODEL, input="Hello", stream=True)]


def sync_embeddings(client: openai.OpenAI) -> Answer:
    return [client.embeddings.create(model="text-embedding-3-small", input=["one", "two"]).model_dump()]


@pytest.mark.parametrize(
    ("ask", "price"),
    [
        pytest.param(chat, 102, id="chat: 12 x 1.5 + 14 x 6"),
        pytest.param(short_chat, 48, id="chat cut short: 12 x 1.5 + 5 x 6"),
        pytest.param(chat_stream, 102, id="chat stream"),
        pytest.param(chat_stream_with_usage, 102, id="chat stream with usage"),
        pytest.param(response, 93, id="response: 6 x 1.5 + 14 x 6"),
        pytest.param(response_stream, 93, id="response stream"),
        pytest.param(embeddings, 3, id="embeddings: 10 x 0.25, rounded up"),
        pytest.param(models, 0, id="models: free"),
    ],
)
async def test_async_answers_are_the_direct_ones_and_are_charged(
    house: House, ask: Callable[[openai.AsyncOpenAI], Awaitable[Answer]], price: int
) -> None:
    buyer = await house.control.buyer(CREDIT)
    async with openai.AsyncOpenAI(base_url=f"{house.upstream.url}/v1", api_key=UPSTREAM_KEY) as direct:
        expected = await ask(direct)
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key=buyer.secret) as proxied:
        assert await ask(proxied) == expected
        balance = await house.settled(buyer, spent=price)
    assert balance.available == CREDIT - price
    assert len(house.upstream.requests) == 2


@pytest.mark.parametrize(
    ("ask", "price"),
    [
        pytest.param(sync_chat, 102, id="chat"),
        pytest.param(sync_chat_stream, 102, id="chat stream"),
        pytest.param(sync_response_stream, 93, id="response stream"),
        pytest.param(sync_embeddings, 3, id="embeddings"),
    ],
)
async def test_sync_answers_are_the_direct_ones_and_are_charged(
    house: House, ask: Callable[[openai.OpenAI], Answer], price: int
) -> None:
    buyer = await house.control.buyer(CREDIT)

    def both() -> tuple[Answer, Answer]:
        with (
            openai.OpenAI(base_url=f"{house.upstream.url}/v1", api_key=UPSTREAM_KEY) as direct,
            openai.OpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key=buyer.secret) as proxied,
        ):
            return ask(direct), ask(proxied)

    expected, answer = await asyncio.to_thread(both)
    assert answer == expected
    await house.settled(buyer, spent=price)


async def test_cached_input_has_its_own_price(house: House) -> None:
    house.models.openai.cached_tokens = 8
    buyer = await house.control.buyer(CREDIT)
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key=buyer.secret) as client:
        await chat(client)
        await house.settled(buyer, spent=94)  # 4 x 1.5 + 8 x 0.5 + 14 x 6
        await chat_stream(client)
        await house.settled(buyer, spent=188)


async def test_one_connection_serves_many_requests(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key=buyer.secret) as client:
        for _ in range(5):
            await chat(client)
            await chat_stream(client)
    await house.settled(buyer, spent=1020)
    assert len({request.connection for request in house.upstream.requests}) == 1


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_errors_of_the_api_arrive_as_they_are_and_cost_nothing(house: House, status: int) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.models.openai.failures.append(status)
    base_url = f"http://127.0.0.1:{house.port}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=buyer.secret, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await chat(client)
    assert refused.value.status_code == status
    assert "As the test asked." in refused.value.message
    assert "x-sidecar-refusal" not in refused.value.response.headers
    assert refused.value.response.headers.get("retry-after") == ("7" if status == 429 else None)
    await house.settled(buyer, spent=0)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_an_empty_purse_is_one_request_and_a_clear_exception(house: House, stream: bool) -> None:
    buyer = await house.control.buyer(10)
    requests: list[object] = []

    async def count(request: object) -> None:
        requests.append(request)

    http_client = openai.DefaultAsyncHttpxClient(event_hooks={"request": [count]})
    base_url = f"http://127.0.0.1:{house.port}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=buyer.secret, http_client=http_client) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=stream)
    assert refused.value.status_code == 402
    assert refused.value.code == "insufficient_credits"
    assert "credit" in refused.value.message.lower()
    assert refused.value.response.headers["x-sidecar-refusal"] == "insufficient_credits"
    assert len(requests) == 1
    assert house.upstream.requests == []
    await house.settled(buyer, spent=0)


async def test_an_unknown_key_is_an_authentication_error(house: House) -> None:
    for key in ("sk-somebody", (await house.control.buyer(CREDIT)).secret[:-1] + "!"):
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key=key) as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await chat(client)
        assert refused.value.code == "unidentified"
        assert key not in str(refused.value)
    assert house.upstream.requests == []


async def test_holds_in_flight_are_worth_a_retry(house: House) -> None:
    """The purse is not empty, only held: the SDK's own retry succeeds once the first request is done."""
    gate_open = asyncio.Event()

    async def slow(exchange: Any) -> None:
        await gate_open.wait()
        await house.models(exchange)

    # One request holds about 6,200 base units: two do not fit, one does again when the first is charged 102.
    buyer = await house.control.buyer(10_000)
    house.upstream.once(slow)
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{house.port}/v1", api_key=buyer.secret) as client:
        first = asyncio.ensure_future(chat(client))
        await house.upstream.arrived(1)
        once = client.with_options(max_retries=0)
        with pytest.raises(openai.RateLimitError) as refused:
            await chat(once)
        assert refused.value.code == "holds_in_flight"
        assert int(refused.value.response.headers["retry-after"]) >= 1
        second = asyncio.ensure_future(chat(client))
        gate_open.set()
        assert await first == await second
    await house.settled(buyer, spent=204)
