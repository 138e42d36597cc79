"""What is read, quoted and held before a request is forwarded; what keeps it from that holds nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.domain.outcomes import Refused
from sidecar.services.hold import Hold
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Exchange, Upstream, answers, head

CREDIT = 1_000_000
RULES = Path(__file__).parent / "admission.yaml"


async def test_a_body_is_read_whole_before_it_is_quoted(lane: Lane) -> None:
    async with Upstream(answers(b"ok")) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        body = b'{"model": "small", "text": "seven"}'
        async with RawClient(shop.port) as client:
            whole = request("POST", "/read", shop.bearer, body=body)
            await client.send(whole[:-9])
            await client.send(whole[-9:])
            answer = await client.answer()
        assert (answer.status, answer.get("x-credits-charged")) == (200, str(5 * CREDIT))
        assert upstream.requests[0].body == body
        assert (await shop.settled()).spent == 5 * CREDIT


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"model": "small"}', 400, "unreadable_request"),
        (b"no object", 400, "unreadable_request"),
        (b'{"model": "huge", "text": ""}', 403, "unpriced"),
        (b'{"model": "big", "text": "four"}', 402, "insufficient_credits"),
    ],
)
async def test_what_is_not_admitted_reaches_nobody_and_holds_nothing(
    lane: Lane, body: bytes, status: int, code: str
) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "POST", "/read", shop.bearer, body=body)
        assert (answer.status, answer.get("x-sidecar-refusal")) == (status, code)
        assert upstream.requests == []
        assert (await shop.settled()).spent == 0


async def test_a_client_that_leaves_in_its_body_is_not_admitted(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        async with RawClient(shop.port) as client:
            await client.send(request("POST", "/read", shop.bearer, body=b'{"model": "small", "text": "a"}')[:-1])
        assert (await shop.settled()).spent == 0
        assert upstream.requests == []


def chat_body(**members: object) -> bytes:
    return json.dumps({"model": "m", **members}).encode()


def completed(tokens: int) -> bytes:
    return b'{"usage": {"prompt_tokens": 1, "completion_tokens": %d}}' % tokens


@pytest.mark.parametrize(
    ("body", "changed", "told"),
    [
        (chat_body(max_tokens=5000), chat_body(max_tokens=100), "max_tokens=100"),
        (chat_body(max_completion_tokens=101), chat_body(max_completion_tokens=100), "max_completion_tokens=100"),
        (chat_body(n=3, max_tokens=50), chat_body(n=3, max_tokens=33), "max_tokens=33"),
        (chat_body(), b'{"max_completion_tokens":100,"model": "m"}', "max_completion_tokens=100"),
        (chat_body(max_tokens=100), chat_body(max_tokens=100), None),
    ],
)
async def test_a_request_is_lowered_to_what_the_balance_buys(
    lane: Lane, body: bytes, changed: bytes, told: str | None
) -> None:
    script = answers(completed(40), ("content-type", "application/json"), ("x-credits-clamped", "forged"))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "POST", "/chat", shop.bearer, ("X-Credits-Clamped", "forged"), body=body)
        assert (answer.status, answer.get("x-credits-clamped")) == (200, told)
        assert answer.get("x-credits-charged") == str(40 * CREDIT)
        received = upstream.requests[0]
        assert (received.body, received.get(b"content-length")) == (changed, b"%d" % len(changed))
        assert received.all(b"x-credits-clamped") == []
        assert shop.metrics.clamped == ({"chat": 1} if told else {})
        assert (await shop.settled()).spent == 40 * CREDIT


async def test_a_stream_is_lowered_and_asked_for_its_usage(lane: Lane) -> None:
    events = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":7}}\n\ndata: [DONE]\n\n'
    script = answers(events, ("content-type", "text/event-stream"))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        body = chat_body(stream=True, max_tokens=5000)
        answer = await fetch(shop.port, "POST", "/chat", shop.bearer, body=body)
        assert (answer.get("x-credits-clamped"), answer.body) == ("max_tokens=100", b"data: [DONE]\n\n")
        sent = json.loads(upstream.requests[0].body)
        assert (sent["max_tokens"], sent["stream_options"]) == (100, {"include_usage": True})
        assert (await shop.settled()).spent == 7 * CREDIT


async def test_a_parameter_of_the_query_is_lowered(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop, RawClient(shop.port) as client:
        for target, sent in (("/search?q=%20&limit=500", b"/search?q=%20&limit=100"), ("/search", None)):
            await client.send(request("GET", target, shop.bearer))
            answer = await client.answer()
            if sent is not None:
                assert (answer.get("x-credits-clamped"), answer.status) == ("query.limit=100", 200)
                assert upstream.requests[0].target == sent
            else:
                assert answer.get("x-sidecar-refusal") == "insufficient_credits"
        assert (await shop.settled()).spent == 100 * CREDIT


async def test_less_than_the_least_is_refused_as_ever(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "POST", "/chat", shop.bearer, body=chat_body(n=7, max_tokens=15))
        assert (answer.status, answer.get("x-sidecar-refusal")) == (402, "insufficient_credits")
        assert json.loads(answer.body)["required"] == 105 * CREDIT
        assert (answer.get("x-credits-clamped"), upstream.requests) == (None, [])
        assert shop.metrics.clamped == {}


async def test_a_member_is_lowered_to_what_its_pool_leaves(lane: Lane) -> None:
    async with Upstream(answers(completed(5))) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        bob, _ = await shop.customers.create(external_id="bob", now_ms=1, parent_id=shop.customer_id)
        await shop.customers.set_pool_cap(bob.customer_id, "credits", 30 * CREDIT)
        _, secret = await shop.customers.create_key(bob.customer_id, name="k", now_ms=1)
        bearer = ("Authorization", f"Bearer {secret}")
        answer = await fetch(shop.port, "POST", "/chat", bearer, body=chat_body(max_tokens=5000))
        assert (answer.status, answer.get("x-credits-clamped")) == (200, "max_tokens=30")


@pytest.mark.parametrize(("others", "told"), [([60], "max_tokens=40"), ([60, 10], "max_tokens=30"), ([60, 30], None)])
async def test_who_is_faster_leaves_less(
    lane: Lane, monkeypatch: pytest.MonkeyPatch, others: list[int], told: str | None
) -> None:
    """Between a refusal and the next try, others take of what was available."""
    async with Upstream(answers(completed(1))) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        take: Any = shop.holds.take
        coming = [0, *others]

        async def after_others(*asked: Any, **named: Any) -> Hold | Refused:
            other = coming.pop(0) if coming else 0
            if other:
                await take(*asked[:3], other * CREDIT, "", "other")
            outcome: Hold | Refused = await take(*asked, **named)
            return outcome

        monkeypatch.setattr(shop.holds, "take", after_others)
        answer = await fetch(shop.port, "POST", "/chat", shop.bearer, body=chat_body(max_tokens=5000))
        assert answer.get("x-credits-clamped") == told
        assert answer.status == (200 if told else 402)
        assert len(upstream.requests) == (1 if told else 0)


async def test_many_at_once_share_what_there_is(lane: Lane) -> None:
    async with Upstream(answers(completed(1))) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        body = chat_body(max_tokens=40)
        sent = [fetch(shop.port, "POST", "/chat", shop.bearer, body=body) for _ in range(12)]
        found = await asyncio.gather(*sent)
        served = [answer for answer in found if answer.status == 200]
        assert len(served) >= 3
        assert {answer.status for answer in found} <= {200, 429}
        assert (await shop.settled()).spent == len(served) * CREDIT


async def test_a_hold_follows_what_the_rule_has_cost(lane: Lane) -> None:
    costs = [b"3", b"nonsense", b"5", b"1", b"9", b"0", b"0", b"0", b"0"]

    async def script(played: Exchange) -> None:
        await played.send(head(200, ("X-Cost", costs[len(upstream.requests) - 1].decode()), ("content-length", "0")))

    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        held = []
        for _ in costs:
            before = shop.metrics.held["credits"]
            assert (await fetch(shop.port, "GET", "/recent", shop.bearer)).status == 200
            held.append((shop.metrics.held["credits"] - before) // CREDIT)
        # With the flat part, costs are 4, 6, 2, 10, 1, 1, 1, 1; unknown usage is charged as 20, and teaches nothing.
        assert held == [20, 20, 20, 20, 20, 4, 2, 1, 1]
        assert (await shop.settled()).spent == (4 + 20 + 6 + 2 + 10 + 1 + 1 + 1 + 1) * CREDIT
