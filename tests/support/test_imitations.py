"""The imitated APIs against the stock SDKs, without a proxy: what the end-to-end tests stand on."""

import asyncio
from collections.abc import AsyncIterator

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.support.anthropic_api import AnthropicApi
from tests.support.imitation import WORDS, Delivery
from tests.support.openai_api import OpenAIApi
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Gate, Upstream, answers, chunk, head, says

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello in every way you know."}]
TEXT = "".join(WORDS)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as running:
        yield running


DELIVERIES = pytest.mark.parametrize(
    "delivery",
    [
        Delivery(),
        Delivery(chunk_bytes=3, write_bytes=7),
        Delivery(write_bytes=1, line_end=b"\r\n", gzip_events=True),
    ],
    ids=["plain", "cut in awkward places", "byte by byte, CRLF, gzip"],
)


@DELIVERIES
async def test_openai_sdk_understands_it(upstream: Upstream, delivery: Delivery) -> None:
    upstream.script = OpenAIApi(delivery=delivery)
    async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="sk-upstream", max_retries=0) as client:
        chat = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert chat.choices[0].message.content == TEXT
        assert chat.usage is not None
        assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (12, 14)

        stream = await client.chat.completions.create(
            model="gpt-4o-mini",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [each async for each in stream]
        assert "".join(each.choices[0].delta.content or "" for each in chunks[:-1]) == TEXT
        assert [each.usage for each in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 26

        response = await client.responses.create(model="gpt-4o-mini", input="count 20", max_output_tokens=5)
        assert response.output_text == "0 1 2 3 4 "
        assert response.usage is not None
        assert response.usage.output_tokens == 5
        async with client.responses.stream(model="gpt-4o-mini", input="Hello") as events:
            assert (await events.get_final_response()).output_text == TEXT

        embeddings = await client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        assert embeddings.data[1].embedding == [0.25, -0.5, 1.0, 0.125]
        assert [model.id async for model in client.models.list()] == ["gpt-4o-mini"]


@DELIVERIES
async def test_anthropic_sdk_understands_it(upstream: Upstream, delivery: Delivery) -> None:
    upstream.script = AnthropicApi(delivery=delivery)
    async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key="sk-ant-upstream", max_retries=0) as client:
        message = await client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=100,
            messages=[{"role": "user", "content": "count 3"}],
        )
        assert message.content[0].text == "0 1 2 "  # type: ignore[union-attr]  # Only text comes.
        assert message.usage.output_tokens == 3
        async with client.messages.stream(
            model="claude-haiku-4-5", max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
        ) as stream:
            final = await stream.get_final_message()
        assert final.content[0].text == TEXT  # type: ignore[union-attr]  # Only text comes.
        assert (final.usage.input_tokens, final.usage.output_tokens) == (6, 14)


async def test_errors_have_the_shape_of_the_real_ones(upstream: Upstream) -> None:
    upstream.script = api = OpenAIApi()
    api.failures.extend([429, 500])
    async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="sk-upstream", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as limited:
            await client.models.list()
        assert limited.value.code == "rate_limit_exceeded"
        with pytest.raises(openai.InternalServerError):
            await client.models.list()
    async with openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="wrong") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()

    upstream.script = claude = AnthropicApi()
    claude.failures.append(529)
    async with anthropic.AsyncAnthropic(base_url=upstream.url, api_key="sk-ant-upstream", max_retries=0) as client2:
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            await client2.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "Hi"}])
        assert overloaded.value.status_code == 529


async def test_the_same_request_gets_the_same_bytes(upstream: Upstream) -> None:
    upstream.script = OpenAIApi()
    fields = (("Authorization", "Bearer sk-upstream"), ("Accept-Encoding", "gzip"))
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}'
    first, second = [await fetch(upstream.port, "POST", "/v1/chat/completions", *fields, body=body) for _ in range(2)]
    assert first.raw == second.raw
    assert first.get("content-encoding") == "gzip"


async def test_scripts_say_every_byte_and_requests_are_kept_as_they_came(upstream: Upstream) -> None:
    upstream.once(
        says(b"HTTP/1.1 103 Early Hints\r\n\r\n", head(200, ("transfer-encoding", "chunked")), chunk(b"a", b";x=1"),
             b"0\r\nx-sum: 9\r\n\r\n"),
        says(head(200, ("content-length", "9")) + b"half", then="close"),
        says(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", then="close"),
    )  # fmt: skip
    async with RawClient(upstream.port) as client:
        sent = b"POST /p HTTP/1.1\r\nhOsT: a\r\nTransfer-Encoding: chunked\r\n\r\n2;e\r\nab\r\n0\r\nT: 1\r\n\r\n"
        await client.send(sent[:40], sent[40:])
        answer = await client.answer("POST")
        assert (answer.status, answer.informational, answer.body) == (200, [103], b"a")
        assert answer.trailers == [(b"x-sum", b"9")]
    received = upstream.requests[0]
    assert received.head + received.raw_body == sent
    assert (received.body, received.trailers) == (b"ab", [(b"T", b"1")])
    assert received.get(b"host") == b"a"

    with pytest.raises(Exception, match="without sending complete message body"):
        await fetch(upstream.port, "GET", "/")
    assert (await fetch(upstream.port, "GET", "/")).body == b"until the end"


async def test_a_reset_is_a_reset_and_a_gate_holds_until_it_is_opened(upstream: Upstream) -> None:
    gate = Gate()
    upstream.script = OpenAIApi(delivery=Delivery(gate=gate))
    upstream.once(says(then="reset"))
    with pytest.raises(ConnectionResetError):
        await fetch(upstream.port, "GET", "/")
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'
    async with RawClient(upstream.port) as client:
        fields = ("Authorization", "Bearer sk-upstream")
        await client.send(request("POST", "/v1/chat/completions", fields, body=body))
        await gate.reached()
        await client.receive(until=b'"Bonjour"')
        gate.open()
        await client.receive(until=b"[DONE]")


async def test_a_connection_may_serve_a_limited_number_of_requests() -> None:
    async with Upstream(answers(b"x"), requests_per_connection=2) as upstream, RawClient(upstream.port) as client:
        await client.send(request("GET", "/1") + request("GET", "/2"))
        assert [(await client.answer()).body for _ in range(2)] == [b"x", b"x"]
        assert await client.ended() == b""


async def test_sending_stops_while_nobody_reads() -> None:
    gate = Gate()

    async def reads_late(exchange: object) -> None:
        await gate.pause()

    async with Upstream(reads_late, receive_buffer_bytes=4096) as upstream, RawClient(upstream.port) as client:
        flood = asyncio.ensure_future(client.send(request("POST", "/", body=bytes(32 << 20))))
        await gate.reached()
        assert not flood.done()
        flood.cancel()
