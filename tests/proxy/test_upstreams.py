"""Several addresses, what leaves one of them alone, and attempts that are made again: one hold, one charge."""

import asyncio
from pathlib import Path

import pytest

from sidecar.config.settings import Timeouts
from sidecar.store.lane import Lane
from tests.proxy.shop import RULES as SHOP_RULES
from tests.proxy.shop import Shop
from tests.support.process import refusing_port
from tests.support.rawhttp import Answer, RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Script, Upstream, after, answers, head, says

RULES = Path(__file__).parent / "retries.yaml"
CREDIT = 1_000_000


async def ask(shop: Shop, path: str = "/fixed/a", method: str = "POST") -> Answer:
    return await fetch(shop.port, method, path, shop.bearer, body=b"body" if method == "POST" else b"")


# --- Several addresses --------------------------------------------------------------------------------------------


async def test_requests_are_spread_over_the_addresses(lane: Lane) -> None:
    async with Upstream() as one, Upstream() as other, Shop(lane, one, urls=[other.url]) as shop:
        for _ in range(6):
            assert (await ask(shop)).status == 200
        assert len(one.requests) == len(other.requests) == 3
        assert {host.get(b"host") for host in other.requests} == {other.url.removeprefix("http://").encode()}
        assert (await shop.settled()).spent == 6 * CREDIT


async def test_the_less_busy_address_gets_the_request(lane: Lane) -> None:
    gate = Gate()

    async with Upstream(after(gate)) as one, Upstream() as other, Shop(lane, one, urls=[other.url]) as shop:
        with_slow = asyncio.ensure_future(asyncio.gather(ask(shop), ask(shop)))
        await gate.reached()
        for _ in range(5):
            assert (await ask(shop)).status == 200
        assert len(one.requests) == 1
        gate.open()
        assert [answer.status for answer in await with_slow] == [200, 200]


async def test_an_address_that_refuses_connections_costs_nobody_an_answer(lane: Lane) -> None:
    with refusing_port() as port:
        async with Upstream() as one, Shop(lane, one, urls=[f"http://127.0.0.1:{port}"], breaker_failures=2) as shop:
            for _ in range(10):
                assert (await ask(shop)).status == 200
            assert len(one.requests) == 10
            assert (await shop.settled()).spent == 10 * CREDIT
            _, refusing = shop.proxy._upstreams.addresses
            assert not refusing.breaker.closed
            assert refusing.breaker.opened_total == 1


async def test_a_certificate_that_is_not_valid_is_one_address_less(lane: Lane) -> None:
    async with (
        Upstream(certificate="here.pem") as bad,
        Upstream() as good,
        Shop(lane, good, urls=[bad.url]) as shop,
    ):
        for _ in range(4):
            assert (await ask(shop)).status == 200
        assert (len(good.requests), len(bad.requests)) == (4, 0)


# --- The breaker --------------------------------------------------------------------------------------------------


async def test_an_upstream_that_fails_in_a_row_is_left_alone_and_tried_again(lane: Lane) -> None:
    async with Upstream(says(then="reset")) as one, Shop(lane, one, breaker_failures=3, breaker_pause_s=0.05) as shop:
        (address,) = shop.proxy._upstreams.addresses
        assert [(await ask(shop)).status for _ in range(3)] == [502, 502, 502]
        refused = await ask(shop)
        assert (refused.status, refused.get("x-sidecar-refusal")) == (503, "upstream_unavailable")
        assert refused.get("retry-after") == "1"
        assert len(one.requests) == 3, "nothing was sent"
        free = await fetch(shop.port, "GET", "/free")
        assert free.get("x-sidecar-refusal") == "upstream_unavailable"
        one.script = answers()
        await until(lambda: address.breaker.allows(shop.proxy._engine.loop.time()), "the pause")
        assert (await ask(shop)).status == 200
        assert address.breaker.closed
        assert (await shop.settled()).spent == CREDIT
        assert shop.metrics.refusals["upstream_unavailable"] == 2


async def test_while_one_request_finds_out_the_others_are_not_sent(lane: Lane) -> None:
    gate = Gate()

    async with Upstream(says(then="reset")) as one, Shop(lane, one, breaker_failures=1, breaker_pause_s=0.05) as shop:
        (address,) = shop.proxy._upstreams.addresses
        await ask(shop)
        one.script = after(gate)
        await until(lambda: address.breaker.allows(shop.proxy._engine.loop.time()), "the pause")
        probe = asyncio.ensure_future(ask(shop))
        await gate.reached()
        assert [(await ask(shop)).status for _ in range(5)] == [503] * 5
        assert len(one.requests) == 2
        gate.open()
        assert (await probe).status == 200
        assert (await ask(shop)).status == 200


async def test_a_probe_whose_client_goes_lets_the_next_one_find_out(lane: Lane) -> None:
    gate = Gate()

    async def silent(exchange: Exchange) -> None:
        await gate.pause()
        await exchange.gone()

    async with Upstream(says(then="reset")) as one, Shop(lane, one, breaker_failures=1, breaker_pause_s=0.05) as shop:
        (address,) = shop.proxy._upstreams.addresses
        await ask(shop)
        one.script = silent
        await until(lambda: address.breaker.allows(shop.proxy._engine.loop.time()), "the pause")
        async with RawClient(shop.port) as client:
            await client.send(request("POST", "/left", shop.bearer, body=b"x"))
            await gate.reached()
        gate.open()
        await shop.settled()
        one.script = answers()
        assert (await ask(shop)).status == 200


@pytest.mark.parametrize(
    ("script", "status", "opens"),
    [
        pytest.param(answers(status=503), 503, True, id="a status of breaker_statuses"),
        pytest.param(answers(status=500), 500, False, id="another status"),
        pytest.param(answers(status=404), 404, False, id="no failure at all"),
        pytest.param(says(b"SSH-2.0\r\n", then="close"), 502, True, id="no HTTP"),
    ],
)
async def test_what_counts_as_a_failure(lane: Lane, script: Script, status: int, opens: bool) -> None:
    async with Upstream(script) as one, Shop(lane, one, breaker_failures=1, breaker_statuses=[503]) as shop:
        assert (await ask(shop)).status == status
        (address,) = shop.proxy._upstreams.addresses
        assert address.breaker.closed is not opens


async def test_an_upstream_that_is_silent_counts_as_failing(lane: Lane) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.gone()

    times = Timeouts(head_s=0.1)
    async with Upstream(silent) as one, Shop(lane, one, timeouts=times, breaker_failures=1) as shop:
        assert (await ask(shop)).status == 504
        assert (await ask(shop)).get("x-sidecar-refusal") == "upstream_unavailable"


# --- Attempts that are made again ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(says(then="reset"), id="reset"),
        pytest.param(answers(b"busy", status=503), id="a status"),
        pytest.param(says(head(503, ("content-length", "9")) + b"half"), id="a status, its body still coming"),
    ],
)
async def test_a_rule_may_have_attempts_made_again(lane: Lane, first: Script) -> None:
    async with Upstream() as one, Shop(lane, one, rules=RULES) as shop:
        one.once(first)
        answer = await ask(shop, "/again")
        assert (answer.status, answer.body) == (200, b"ok")
        assert [each.body for each in one.requests] == [b"body", b"body"]
        assert (await shop.settled()).spent == CREDIT, "one hold and one charge"
        assert shop.metrics.charges == {"reported": 1}
        assert shop.proxy._upstreams.retries_total == 1


async def test_the_last_attempt_is_passed_on(lane: Lane) -> None:
    async with Upstream(answers(b"busy", status=503)) as one, Shop(lane, one, rules=RULES) as shop:
        answer = await ask(shop, "/again")
        assert (answer.status, answer.body) == (503, b"busy")
        assert len(one.requests) == 3, "most: 2 further ones"
        assert (await shop.settled()).spent == 0


@pytest.mark.parametrize(
    ("path", "script"),
    [
        pytest.param("/fixed/a", says(then="reset"), id="a rule that does not say so"),
        pytest.param("/once", answers(status=503), id="a cause that the rule does not name"),
        pytest.param("/again", answers(status=503), id="an answer that says when to come back"),
    ],
)
async def test_what_is_not_made_again(lane: Lane, path: str, script: Script) -> None:
    if path == "/again":
        script = answers(b"", ("retry-after", "1"), status=503)
    rules = RULES if path != "/fixed/a" else SHOP_RULES
    async with Upstream(script) as one, Shop(lane, one, rules=rules) as shop:
        await ask(shop, path)
        assert len(one.requests) == 1


async def test_another_address_gets_the_next_attempt(lane: Lane) -> None:
    async with (
        Upstream(answers(status=503)) as bad,
        Upstream() as good,
        Shop(lane, bad, rules=RULES, urls=[good.url]) as shop,
    ):
        for _ in range(4):
            assert (await ask(shop, "/again")).status == 200
        assert len(good.requests) == 4
        assert (await shop.settled()).spent == 4 * CREDIT


async def test_retries_are_few_beside_requests(lane: Lane) -> None:
    """When everything fails, attempts that are made again must not multiply the load."""
    async with (
        Upstream(answers(status=503)) as one,
        Shop(lane, one, rules=RULES, retry_ratio=0.0, breaker_failures=0) as shop,
    ):
        for _ in range(20):
            await ask(shop, "/again")
        assert len(one.requests) == 20 + 10, "what quiet times had saved"


async def test_a_free_route_is_tried_again_too(lane: Lane) -> None:
    async with Upstream() as one, Shop(lane, one, rules=RULES) as shop:
        one.once(says(then="reset"))
        assert (await fetch(shop.port, "GET", "/free-again")).status == 200


async def test_a_client_that_goes_ends_the_attempts(lane: Lane) -> None:
    gate = Gate()

    async def slow(exchange: Exchange) -> None:
        await gate.pause()
        await exchange.gone()

    async with Upstream(slow) as one, Shop(lane, one, rules=RULES) as shop:
        one.once(answers(status=503))
        async with RawClient(shop.port) as client:
            await client.send(request("POST", "/again", shop.bearer, body=b"x"))
            await gate.reached()
        gate.open()
        await shop.settled()
        assert len(one.requests) == 2
