"""Requests that their clients repeat with the same key: charged once, forwarded again."""

import asyncio
import hashlib
from collections import Counter
from pathlib import Path

import openai
import pytest

from sidecar.config.settings import Limits
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import Answer, RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Upstream, after, answers, chunk, head, says

CREDIT = 1_000_000
RULES = Path(__file__).parent / "repeats.yaml"
KEY = ("Idempotency-Key", "a-key")


async def send(shop: Shop, target: str, *more: tuple[str, str], body: bytes = b"{}") -> Answer:
    return await fetch(shop.port, "POST", target, shop.bearer, *more, body=body)


def said(answer: Answer) -> tuple[int, str | None, str | None]:
    return answer.status, answer.get("x-credits-charged"), answer.get("x-credits-source")


async def test_a_repetition_is_forwarded_and_not_charged(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        assert said(await send(shop, "/once", KEY)) == (200, str(CREDIT), None)
        assert said(await send(shop, "/once", KEY)) == (200, "0", "repeated")
        assert said(await send(shop, "/once", ("idempotency-key", '"a-key"'))) == (200, "0", "repeated")
        assert len(upstream.requests) == 3
        assert (await shop.settled()).spent == CREDIT
        assert shop.metrics.charges["repeated"] == 2


async def test_requests_without_a_key_or_with_another_are_their_own(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        for more in ((), (), (("Idempotency-Key", "1"),), (("Idempotency-Key", "2"),)):
            assert said(await send(shop, "/once", *more)) == (200, str(CREDIT), None)
        assert (await shop.settled()).spent == 4 * CREDIT


async def test_what_a_repetition_costs_beyond_the_first_is_charged(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        charged = []
        for units in ("2", "50", "40", "51"):
            upstream.once(answers(b"ok", ("x-units", units)))
            charged.append((await send(shop, "/measured", KEY)).get("x-credits-charged"))
        assert charged == [str(2 * CREDIT), str(48 * CREDIT), "0", str(CREDIT)]
        assert (await shop.settled()).spent == 51 * CREDIT


async def test_while_the_first_is_open_the_others_are_told_to_wait(lane: Lane) -> None:
    gate = Gate()

    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(after(gate))
        first = asyncio.ensure_future(send(shop, "/once", KEY))
        await gate.reached()
        second = await send(shop, "/once", KEY)
        assert (second.status, second.get("x-sidecar-refusal")) == (409, "request_in_progress")
        assert (second.get("retry-after"), second.get("x-should-retry")) == ("1", None)
        other = await send(shop, "/once", KEY, body=b"other")
        assert (other.status, other.get("x-sidecar-refusal")) == (422, "idempotency_mismatch")
        gate.open()
        assert (await first).status == 200
        assert (await shop.settled()).spent == CREDIT


async def test_of_fifty_at_once_one_passes(lane: Lane) -> None:
    gate = Gate()

    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(after(gate))
        all_of_them = [asyncio.ensure_future(send(shop, "/once", KEY)) for _ in range(50)]
        await until(lambda: sum(each.done() for each in all_of_them) == 49, "all but one to be answered")
        gate.open()
        assert Counter(answer.status for answer in await asyncio.gather(*all_of_them)) == {200: 1, 409: 49}
        assert len(upstream.requests) == 1
        assert (await shop.settled()).spent == CREDIT


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [("PUT", "/once", b"{}"), ("POST", "/once?a=1", b"{}"), ("POST", "/once", b"[]"), ("POST", "/once", b"")],
)
async def test_another_request_with_the_key_is_refused(lane: Lane, method: str, target: str, body: bytes) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        await send(shop, "/once", KEY)
        answer = await fetch(shop.port, method, target, shop.bearer, KEY, body=body)
        assert (answer.status, answer.get("x-sidecar-refusal")) == (422, "idempotency_mismatch")
        assert answer.get("x-should-retry") == "false"
        assert len(upstream.requests) == 1


async def test_a_failure_frees_the_key(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(answers(status=500))
        assert (await send(shop, "/once", KEY)).status == 500
        await shop.settled()
        assert said(await send(shop, "/once", KEY, body=b"other")) == (200, str(CREDIT), None)
        assert (await shop.settled()).spent == CREDIT


async def test_a_failed_repetition_does_not_forget_the_charge(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        await send(shop, "/once", KEY)
        upstream.once(answers(status=500))
        await send(shop, "/once", KEY)
        await shop.settled()
        assert said(await send(shop, "/once", KEY)) == (200, "0", "repeated")


async def test_a_refusal_does_not_burn_the_key(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        for _ in range(2):
            answer = await send(shop, "/dear", KEY)
            assert (answer.status, answer.get("x-sidecar-refusal")) == (402, "insufficient_credits")
        assert (await send(shop, "/dear", KEY, body=b"other")).status == 402


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ((), "idempotency_key_required"),
        ((("X-Request-Key", ""),), "idempotency_key_invalid"),
        ((("X-Request-Key", "k" * 256),), "idempotency_key_invalid"),
    ],
)
async def test_a_key_that_is_wanted_and_not_there(lane: Lane, more: tuple[tuple[str, str], ...], code: str) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await send(shop, "/strict", KEY, *more)
        assert (answer.status, answer.get("x-sidecar-refusal")) == (400, code)
        assert upstream.requests == []
        assert said(await send(shop, "/strict", ("x-request-key", "mine"))) == (200, str(CREDIT), None)


async def test_in_shadow_nothing_is_refused(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        for _ in range(2):
            assert (await send(shop, "/shown")).status == 200


async def test_large_bodies_are_told_by_length_and_beginning(lane: Lane) -> None:
    limits = Limits(body_inspect_max_bytes=1024)
    body = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(20_000))
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES, limits=limits) as shop:
        assert said(await send(shop, "/once", KEY, body=body)) == (200, str(CREDIT), None)
        assert said(await send(shop, "/once", KEY, body=body)) == (200, "0", "repeated")
        assert [received.body for received in upstream.requests] == [body, body]
        assert (await send(shop, "/once", KEY, body=body[1:])).status == 422
        assert (await send(shop, "/once", KEY, body=body[::-1])).status == 422


async def test_whose_client_has_gone_is_charged_and_may_be_repeated(lane: Lane) -> None:
    """The client goes while its answer is read to its end for the charge; its repetition costs nothing more."""
    gate = Gate()

    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(after(gate))
        async with RawClient(shop.port) as client:
            await client.send(request("POST", "/once", shop.bearer, KEY, body=b"{}"))
            await gate.reached()
        gate.open()
        assert (await shop.settled()).spent == CREDIT
        assert said(await send(shop, "/once", KEY)) == (200, "0", "repeated")


class TestReplay:
    async def test_the_answer_is_given_again(self, lane: Lane) -> None:
        fields = (("content-type", "text/plain"), ("X-Twice", "1"), ("X-Twice", "2"), ("Set-Cookie", "session=1"))
        async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
            upstream.once(answers(b"the answer", *fields, ("idempotency-replayed", "true"), status=201))
            first = await send(shop, "/again", KEY)
            assert (first.get("set-cookie"), first.get("idempotency-replayed")) == ("session=1", None)
            for _ in range(12):
                again = await send(shop, "/again", KEY)
                assert (again.status, again.body, again.get("idempotency-replayed")) == (201, b"the answer", "true")
                assert (again.get("content-type"), again.get("set-cookie")) == ("text/plain", None)
                assert [value for name, value in again.headers if name == b"X-Twice"] == [b"1", b"2"]
                assert said(again) == (201, "0", None)
            assert len(upstream.requests) == 1
            assert (await shop.settled()).spent == CREDIT
            assert shop.metrics.requests["again", "replayed"] == 12

    async def test_fifty_that_come_again_until_they_are_served_are_one(self, lane: Lane) -> None:
        async def patient(shop: Shop) -> bytes:
            while (answer := await send(shop, "/again", KEY)).status == 409:
                assert answer.get("retry-after") == "1"
            return answer.body

        async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
            assert set(await asyncio.gather(*(patient(shop) for _ in range(50)))) == {b"ok"}
            assert len(upstream.requests) == 1
            assert (await shop.settled()).spent == CREDIT

    async def test_a_stream_is_given_again_as_a_whole(self, lane: Lane) -> None:
        pieces = [b"data: 1\n\n", b"data: 2\n\n"]
        stream = [head(200, ("transfer-encoding", "chunked")), *map(chunk, pieces), b"0\r\n\r\n"]
        async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
            upstream.once(says(*stream))
            answers_of_both = [await send(shop, "/again", KEY) for _ in range(2)]
            assert [answer.body for answer in answers_of_both] == [b"".join(pieces)] * 2
            assert len(upstream.requests) == 1

    @pytest.mark.parametrize(
        ("method", "status", "size"), [("POST", 200, 65_537), ("HEAD", 200, 0), ("POST", 204, 0)]
    )
    async def test_what_is_not_kept_is_charged_once(self, lane: Lane, method: str, status: int, size: int) -> None:
        async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
            upstream.once(*[answers(b"x" * size, status=status)] * 2)
            for expected in ((status, str(CREDIT), None), (status, "0", "repeated")):
                assert said(await fetch(shop.port, method, "/again", shop.bearer, KEY)) == expected
            assert len(upstream.requests) == 2
            assert (await shop.settled()).spent == CREDIT

    async def test_an_answer_that_is_not_charged_is_not_kept(self, lane: Lane) -> None:
        async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
            upstream.once(answers(status=500))
            assert [(await send(shop, "/again", KEY)).status for _ in range(3)] == [500, 200, 200]
            assert len(upstream.requests) == 2

    async def test_who_went_before_the_answer_came_finds_it(self, lane: Lane) -> None:
        gate = Gate()

        async def slow(exchange: Exchange) -> None:
            await gate.pause()
            await answers(b"late")(exchange)

        async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
            upstream.once(slow)
            async with RawClient(shop.port) as client:
                await client.send(request("POST", "/again", shop.bearer, KEY, body=b"{}"))
                await gate.reached()
            gate.open()
            await shop.settled()
            assert (await send(shop, "/again", KEY)).body == b"late"
            assert len(upstream.requests) == 1

    async def test_a_stock_sdk_sends_its_key_with_every_attempt(self, lane: Lane) -> None:
        listed = (
            b'{"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}'
        )
        async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
            upstream.once(answers(status=503), answers(listed, ("content-type", "application/json")))
            key = shop.bearer[1].removeprefix("Bearer ")
            base_url = f"http://127.0.0.1:{shop.port}/again"
            async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=2) as client:
                for _ in range(3):
                    found = await client.embeddings.create(
                        model="m", input="a", encoding_format="float", extra_headers=dict([KEY])
                    )
                    assert [each.embedding for each in found.data] == [[0.5]]
            assert [received.get(b"idempotency-key") for received in upstream.requests] == [b"a-key"] * 2
            assert (await shop.settled()).spent == CREDIT
