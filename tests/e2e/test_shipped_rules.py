"""The rule files that we ship, in front of the APIs that they are for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, MODEL, UPSTREAM_KEY, House
from tests.support.process import ROOT, Sidecar
from tests.support.rawhttp import fetch
from tests.support.upstream import answers

pytestmark = pytest.mark.asyncio(loop_scope="session")

SONNET = "claude-sonnet-4-6"


@asynccontextmanager
async def running_with(house: House, *files: str) -> AsyncIterator[Sidecar]:
    async with Sidecar(
        "run",
        upstream=house.upstream.url,
        rules=[ROOT / "rules" / name for name in files],
        store=house.store.url,
        arguments=["--upstream-header", "Authorization: Bearer ${THE_UPSTREAM_KEY}"],
        environment={"THE_UPSTREAM_KEY": UPSTREAM_KEY},
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shipped(whole_house: House) -> AsyncIterator[Sidecar]:
    """The rules for one API, and after them those for whatever else the upstream may serve."""
    async with running_with(whole_house, "openai.yaml", "http.yaml") as running:
        yield running


async def test_openai(house: House, shipped: Sidecar) -> None:
    buyer = await house.control.buyer(CREDIT)
    base_url = f"http://127.0.0.1:{shipped.proxy_port}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=buyer.secret) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])
        assert answer.usage is not None
        await house.settled(buyer, spent=10)  # 6 x 0.15 + 14 x 0.60 = 9.3
        await client.responses.create(model=MODEL, input="Hello")
        await house.settled(buyer, spent=20)
        await client.embeddings.create(model="text-embedding-3-small", input="word " * 100)
        await house.settled(buyer, spent=23)  # 129 x 0.02 = 2.58
        assert [model.id async for model in client.models.list()] == [MODEL]
        with pytest.raises(openai.PermissionDeniedError) as refused:
            await client.chat.completions.create(model="gpt-99", messages=[{"role": "user", "content": "Hello"}])
    assert refused.value.code == "unpriced"
    await house.settled(buyer, spent=23)


async def test_anthropic(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    async with (
        running_with(house, "anthropic.yaml") as running,
        anthropic.AsyncAnthropic(base_url=f"http://127.0.0.1:{running.proxy_port}", api_key=buyer.secret) as client,
    ):
        message = await client.messages.create(
            model=SONNET, max_tokens=99, messages=[{"role": "user", "content": "Hello"}]
        )
        assert message.stop_reason == "end_turn"
        await house.settled(buyer, spent=228)  # 6 x 3 + 14 x 15
        count = await client.messages.count_tokens(model=SONNET, messages=[{"role": "user", "content": "Hello"}])
        assert count.input_tokens == 6
    await house.settled(buyer, spent=228)


async def test_any_api(house: House, shipped: Sidecar) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(answers(b"result", ("x-credits-cost", "0.025")), answers(b"free", ("x-credits-cost", "0")))
    answer = await fetch(shipped.proxy_port, "PUT", "/anything?at=all", buyer.bearer, body=b"work")
    assert (answer.body, answer.get("x-credits-cost")) == (b"result", None)
    assert answer.get("x-credits-charged") == "25000"
    assert (await fetch(shipped.proxy_port, "GET", "/else", buyer.bearer)).body == b"free"
    await house.settled(buyer, spent=25_000)
    assert (await fetch(shipped.proxy_port, "GET", "/anything")).status == 401
