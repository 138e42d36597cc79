"""Streams that end because credit does: stock SDKs see an end, and nobody spends what is not there.

A base unit buys a byte of text.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anthropic
import openai
import pytest

from tests.e2e.house import CLAUDE, MODEL, House, sidecar
from tests.support.process import Sidecar
from tests.support.rawhttp import fetch
from tests.support.upstream import Exchange, chunk, head

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = Path(__file__).parent / "elastic.yaml"
ASKED = "Say hello in every way you know."
TEXT, COST = "Bonjour, le monde", 17
"""All of the answer that 20 base units buy: the next word has five bytes."""


@asynccontextmanager
async def a_proxy(house: House) -> AsyncIterator[Sidecar]:
    async with sidecar("proxy", upstream=house.upstream.url, store=house.store.url, rules=RULES) as running:
        yield running


async def chat(base_url: str, key: str) -> tuple[str, str | None]:
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": ASKED}], stream=True
        )
        choices = [choice async for each in stream for choice in each.choices]
    return "".join(choice.delta.content or "" for choice in choices), choices[-1].finish_reason


async def helped_chat(base_url: str, key: str) -> tuple[str, str | None]:
    """By the SDK's own helper, which adds up the chunks."""
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
        manager = client.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": ASKED}])
        async with manager as stream:
            async for _ in stream:
                pass
            choice = (await stream.get_final_completion()).choices[0]
    return choice.message.content or "", choice.finish_reason


async def response(base_url: str, key: str) -> tuple[str, str | None]:
    text, reason = "", None
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
        async for each in await client.responses.create(model=MODEL, input=ASKED, stream=True):
            if each.type == "response.output_text.delta":
                text += each.delta
            elif each.type == "response.incomplete":
                details = each.response.incomplete_details
                reason = details.reason if details is not None else None
    return text, reason


async def message(base_url: str, key: str) -> tuple[str, str | None]:
    async with anthropic.AsyncAnthropic(base_url=base_url, api_key=key, max_retries=0) as client:
        messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": ASKED}]
        async with client.messages.stream(model=CLAUDE, max_tokens=100, messages=messages) as stream:
            text = "".join([each async for each in stream.text_stream])
            final = await stream.get_final_message()
    return text, final.stop_reason


def sync_chat(base_url: str, key: str) -> tuple[str, str | None]:
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key=key, max_retries=0) as client:
        stream = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": ASKED}], stream=True
        )
        choices = [choice for each in stream for choice in each.choices]
    return "".join(choice.delta.content or "" for choice in choices), choices[-1].finish_reason


def sync_message(base_url: str, key: str) -> tuple[str, str | None]:
    with anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0) as client:
        messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": ASKED}]
        with client.messages.stream(model=CLAUDE, max_tokens=100, messages=messages) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
    return text, final.stop_reason


async def test_stock_sdks_see_an_end(house: House) -> None:
    async with a_proxy(house) as proxy:
        url = f"http://127.0.0.1:{proxy.proxy_port}"
        for ask, reason in (
            (chat, "length"),
            (response, "max_output_tokens"),
            (message, "max_tokens"),
        ):
            buyer = await house.control.buyer(20)
            assert await ask(url, buyer.secret) == (TEXT, reason)
            balance = await house.settled_later(buyer)
            assert (balance.spent, balance.owed) == (COST, 0)
        for sync_ask, reason in ((sync_chat, "length"), (sync_message, "max_tokens")):
            buyer = await house.control.buyer(20)
            assert await asyncio.to_thread(sync_ask, url, buyer.secret) == (TEXT, reason)
            balance = await house.settled_later(buyer)
            assert (balance.spent, balance.owed) == (COST, 0)
        buyer = await house.control.buyer(20)
        with pytest.raises(openai.LengthFinishReasonError):
            await helped_chat(url, buyer.secret)


async def test_nobody_spends_what_is_not_there(house: House) -> None:
    """Fifty endless streams of one customer at once, through two proxies."""
    event = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"12345678"}}]}\n\n'

    async def endless(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(head(200, ("content-type", "text/event-stream"), ("transfer-encoding", "chunked")))
        while True:
            await exchange.send(chunk(event))

    buyer = await house.control.buyer(2_345)
    body = b'{"model": "gpt-4o-mini", "stream": true, "stream_options": {"include_usage": true}}'
    async with a_proxy(house) as one, a_proxy(house) as two:
        house.upstream.script = endless
        ports = [each.proxy_port for each in (one, two)] * 25
        asked = [
            fetch(port, "POST", "/v1/chat/completions", buyer.bearer, ("content-type", "application/json"), body=body)
            for port in ports
        ]
        answers = await asyncio.gather(*asked)
        balance = await house.settled_later(buyer)
    # What comes when others have taken all is refused.
    assert {answer.status for answer in answers} <= {200, 402, 429}
    served = [answer for answer in answers if answer.status == 200]
    assert len(served) > 2
    assert all(answer.body.endswith(b"data: [DONE]\n\n") and b'"length"' in answer.body for answer in served)
    delivered = sum(answer.body.count(event) for answer in answers)
    assert (balance.spent, balance.owed, balance.held) == (8 * delivered, 0, 0)
    assert balance.available < 50 * 8, "nearly all of it was used"
