"""Limits of rules as clients meet them: refused exactly, told honestly, and nothing is taken by who is refused."""

import asyncio
import json
from pathlib import Path

from sidecar.domain.proxy_keys import KeyLimits, KeyRate
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Upstream, after, answers

RULES = Path(__file__).parent / "limits.yaml"
CREDIT = 1_000_000
HOUR_MS = 3_600_000
JSON = ("Content-Type", "application/json")


async def test_as_many_at_once_as_the_rule_says(lane: Lane) -> None:
    gate = Gate()

    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(after(gate))
        first = asyncio.ensure_future(fetch(shop.port, "GET", "/single", shop.bearer))
        await gate.reached()
        second = await fetch(shop.port, "GET", "/single", shop.bearer)
        assert (second.status, second.get("x-sidecar-refusal")) == (429, "concurrency_limited")
        assert int(second.get("retry-after") or 0) >= 1
        assert (second.get("ratelimit-policy"), second.get("ratelimit")) == (
            '"in_flight";q=1;qu="concurrent-requests"',
            '"in_flight";r=0',
        )
        said = json.loads(second.body)
        assert (said["limit"], said["per"], said["most"], said["left"]) == ("in_flight", "customer", 1, 0)
        gate.open()
        assert (await first).status == 200
        await shop.settled()
        assert (await fetch(shop.port, "GET", "/single", shop.bearer)).status == 200
        assert (await shop.settled()).spent == 2 * CREDIT
        assert len(upstream.requests) == 2


async def test_a_client_that_goes_frees_its_slot(lane: Lane) -> None:
    gate = Gate()

    async def slow(exchange: Exchange) -> None:
        await gate.pause()
        await answers(status=500)(exchange)

    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        upstream.once(slow)
        async with RawClient(shop.port) as client:
            await client.send(request("GET", "/single", shop.bearer))
            await gate.reached()
        gate.open()
        await shop.settled()
        assert (await fetch(shop.port, "GET", "/single", shop.bearer)).status == 200


async def test_as_fast_as_the_rule_says(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        first = await fetch(shop.port, "GET", "/slow", shop.bearer)
        assert (first.status, first.get("ratelimit-policy")) == (200, '"rate-hour";q=2;w=3600')
        assert first.get("ratelimit") == '"rate-hour";r=1;t=1800'
        assert (await fetch(shop.port, "GET", "/slow", shop.bearer)).status == 200
        third = await fetch(shop.port, "GET", "/slow", shop.bearer)
        assert (third.status, third.get("x-sidecar-refusal")) == (429, "rate_limited")
        said = json.loads(third.body)
        assert (said["limit"], said["count"], said["period_ms"], said["burst"]) == ("rate-hour", 2, HOUR_MS, 2)
        assert said["left"] == 0
        assert HOUR_MS / 2 - 60_000 < said["retry_after_ms"] <= HOUR_MS / 2 < said["reset_ms"] <= HOUR_MS
        assert third.get("retry-after-ms") == str(said["retry_after_ms"])
        assert third.get("retry-after") == str(-(-said["retry_after_ms"] // 1000))
        assert third.get("x-should-retry") is None
        assert (await shop.settled()).spent == 2 * CREDIT
        assert len(upstream.requests) == 2
        assert (await fetch(shop.port, "GET", "/plain", shop.bearer)).status == 200


async def test_who_waits_for_as_long_as_it_was_told_passes(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        served = refused = 0
        while served < 3:
            answer = await fetch(shop.port, "GET", "/fast", shop.bearer)
            if answer.status == 200:
                served += 1
                continue
            refused += 1
            assert json.loads(answer.body)["error"]["code"] == "rate_limited"
            await asyncio.sleep(int(answer.get("retry-after-ms") or 0) / 1000)
            assert (await fetch(shop.port, "GET", "/fast", shop.bearer)).status == 200
            served += 1
        assert refused >= 1
        assert len(upstream.requests) == served


async def test_tokens_are_held_as_estimated_and_counted_as_they_were(lane: Lane) -> None:
    async with Upstream(answers(b'{"words": 10}', JSON)) as upstream, Shop(lane, upstream, rules=RULES) as shop:

        async def talk(words: int) -> tuple[int, str | None]:
            answer = await fetch(shop.port, "POST", "/talk", shop.bearer, JSON, body=b'{"words": %d}' % words)
            await shop.settled()
            return answer.status, answer.get("ratelimit")

        assert await talk(90) == (200, '"tokens-hour";r=10;t=3240, "in_flight";r=49')
        assert await talk(90) == (200, '"tokens-hour";r=0;t=3600, "in_flight";r=49')
        status, standing = await talk(90)
        assert (status, standing is not None and '"tokens-hour";r=80' in standing) == (429, True)
        upstream.once(answers(status=500))
        assert (await talk(60))[0] == 500
        assert (await talk(70))[0] == 200


async def test_each_key_has_its_own(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        _, secret = await shop.customers.create_key(shop.customer_id, name="other", now_ms=1)
        other = ("Authorization", f"Bearer {secret}")
        for bearer in (shop.bearer, other):
            statuses = [(await fetch(shop.port, "GET", "/keyed", bearer)).status for _ in range(2)]
            assert statuses == [200, 429]


async def test_in_shadow_it_is_counted_and_served(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answers_of = [await fetch(shop.port, "GET", "/watched", shop.bearer) for _ in range(3)]
        assert [answer.status for answer in answers_of] == [200, 200, 200]
        assert shop.metrics.shadow_refusals["watched", "rate_limited"] == 2
        assert (await shop.settled()).spent == CREDIT


async def test_only_we_say_what_is_left_where_a_limit_applies(lane: Lane) -> None:
    script = answers(b"", ("RateLimit", '"theirs";r=7'), ("RateLimit-Policy", '"theirs";q=9'))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        limited = await fetch(shop.port, "GET", "/slow", shop.bearer)
        assert "theirs" not in f"{limited.get('ratelimit')} {limited.get('ratelimit-policy')}"
        free = await fetch(shop.port, "GET", "/plain", shop.bearer)
        assert (free.get("ratelimit"), free.get("ratelimit-policy")) == ('"theirs";r=7', '"theirs";q=9')


async def test_an_unknown_customer_has_no_limits(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        key = ("Authorization", shop.bearer[1][:-4] + "xxxx")
        assert {(await fetch(shop.port, "GET", "/slow", key)).status for _ in range(4)} == {401}
        await until(lambda: shop.holds.settling.pending == 0, "everything to settle")
        assert not await lane.execute("KEYS", "*rate:*")


async def test_a_key_may_have_limits_of_its_own(lane: Lane) -> None:
    script = answers(b"", ("RateLimit", '"theirs";r=7'))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:

        async def bearer(**limits: object) -> tuple[str, str]:
            terms = KeyLimits(**limits)  # type: ignore[arg-type]  # the fields are the test's
            _, secret = await shop.customers.create_key(shop.customer_id, name="", now_ms=1, limits=terms)
            return ("Authorization", f"Bearer {secret}")

        rated = await bearer(rate=KeyRate(requests=1, period_ms=HOUR_MS, burst=1), features=("render",))
        alone = await fetch(shop.port, "GET", "/render", rated)
        assert (alone.status, alone.get("ratelimit-policy")) == (200, '"key";q=1;w=3600')
        assert alone.get("ratelimit") == '"key";r=0;t=3600'
        again = await fetch(shop.port, "GET", "/render", rated)
        assert (again.status, again.get("x-sidecar-refusal")) == (429, "rate_limited")
        assert again.get("ratelimit-policy") == '"key";q=1;w=3600'
        said = json.loads(again.body)
        assert (said["limit"], said["per"], said["count"]) == ("key", "key", 1)
        other = await fetch(shop.port, "GET", "/plain", rated)
        assert (other.status, other.get("x-sidecar-refusal")) == (403, "feature_not_allowed")
        ended = await fetch(shop.port, "GET", "/plain", await bearer(expires_at_ms=1))
        assert (ended.status, ended.get("x-sidecar-refusal")) == (401, "key_expired")
        assert ended.get("www-authenticate") is not None
        both = await fetch(shop.port, "GET", "/slow", await bearer(rate=KeyRate(requests=9, period_ms=1000, burst=9)))
        assert both.get("ratelimit-policy") == '"rate-hour";q=2;w=3600, "key";q=9;w=1'
        assert (await shop.settled()).spent == 2 * CREDIT
