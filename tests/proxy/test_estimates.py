"""Usage that nobody reported, from both sides and with a real store: never free, never a gain, labelled."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.store.lane import Lane
from tests.proxy.shop import GRANTED, Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Upstream, answers, chunk, head, says

RULES = Path(__file__).parent / "estimates.yaml"
JSON = ("content-type", "application/json")
EVENTS = (("content-type", "text/event-stream"), ("transfer-encoding", "chunked"))
ASKED = json.dumps({"model": "m", "max_tokens": 100}).encode()
INPUT = -(-len(ASKED) // 2)
CHAT = "/v1/chat/completions"


def said(text: str, **more: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}], **more}).encode()


async def test_an_answer_without_usage_is_estimated_and_says_so(lane: Lane) -> None:
    async with Upstream(answers(said("12345678"), JSON)) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "POST", CHAT, shop.bearer, JSON, body=ASKED)
        assert answer.get("x-credits-source") == "estimated"
        assert answer.get("x-credits-charged") == str(INPUT + 4 * 1000)
        assert (await shop.settled()).spent == INPUT + 4 * 1000
        assert shop.metrics.charges["estimated"] == 1
        held = await fetch(shop.port, "POST", "/held", shop.bearer, JSON, body=ASKED)
        assert held.get("x-credits-source") == "hold"


async def test_what_was_reported_needs_no_label(lane: Lane) -> None:
    body = said("12345678", usage={"prompt_tokens": 1, "completion_tokens": 2})
    async with Upstream(answers(body, JSON)) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "POST", CHAT, shop.bearer, JSON, body=ASKED)
        assert (answer.get("x-credits-charged"), answer.all("x-credits-source")) == ("2001", [])


async def test_a_client_that_leaves_a_stream_pays_for_what_it_got(lane: Lane) -> None:
    delta = b'data: {"choices":[{"index":0,"delta":{"content":"12345678"}}]}\n\n'
    script = says(head(200, *EVENTS) + chunk(delta) + chunk(delta))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        asked = json.dumps({"model": "m", "stream": True, "max_tokens": 100}).encode()
        async with RawClient(shop.port) as client:
            await client.send(request("POST", CHAT, shop.bearer, JSON, body=asked))
            for _ in range(2):
                await client.receive(until=delta)
        await until(lambda: shop.metrics.charges["estimated"] == 1, "the estimate to be charged")
        assert (await shop.settled()).spent == -(-len(asked) // 2) + 8 * 1000


ABSURD = [
    "-1",
    "-9e99",
    "NaN",
    "1e308",
    "1e999",
    "9007199254740993",
    "99999999999999999999",
    '"7"',
    "[]",
    "{}",
    "true",
]


@pytest.mark.parametrize("number", ABSURD)
@pytest.mark.parametrize(
    "usage", ['{{"prompt_tokens":{0},"completion_tokens":{0}}}', '{{"prompt_tokens":1,"prompt_tokens":{0}}}', "{0}"]
)
async def test_no_usage_whatsoever_raises_a_balance(lane: Lane, number: str, usage: str) -> None:
    body = b'{"choices":[{"message":{"content":"1234"}}],"usage":%b}' % usage.format(number).encode()
    stream = b"data: " + body + b"\n\ndata: [DONE]\n\n"
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(answers(body, JSON), answers(stream, EVENTS[0]))
        assert (await fetch(shop.port, "POST", CHAT, shop.bearer, JSON, body=ASKED)).body == body
        assert (await fetch(shop.port, "POST", CHAT, shop.bearer, JSON, body=ASKED)).body == stream
        balance = await shop.settled()
        assert 0 < balance.spent <= 2_000_000
        assert balance.available < GRANTED


@pytest.mark.parametrize(("deltas", "charged"), [(1, "estimated"), (0, "none")])
async def test_an_upstream_that_breaks_off_is_paid_for_what_it_delivered(
    lane: Lane, deltas: int, charged: str
) -> None:
    delta = chunk(b'data: {"choices":[{"index":0,"delta":{"content":"12345678"}}]}\n\n')
    script = says(head(200, *EVENTS) + chunk(b": here\n\n") + delta * deltas, then="close")
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        async with RawClient(shop.port) as client:
            await client.send(request("POST", CHAT, shop.bearer, JSON, body=ASKED))
            await client.ended()
        assert (await shop.settled()).spent == deltas * (INPUT + 4 * 1000)
        assert shop.metrics.charges[charged] == 1
