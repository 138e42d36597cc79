"""What is read, quoted and held before a request is forwarded; what keeps it from that holds nothing."""

from pathlib import Path

import pytest

from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Upstream, answers

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
