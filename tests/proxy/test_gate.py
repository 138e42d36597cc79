"""What a gateway is told: the same as a client of the proxy, and by which token the rest is settled."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.settings import Gateway, Proxy
from sidecar.domain.errors import Conflict
from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import Answer, fetch
from tests.support.until import until
from tests.support.upstream import Upstream

RULES = Path(__file__).parent / "gate.yaml"
CREDIT = 1_000_000
GATEWAYS = (Gateway.NGINX, Gateway.TRAEFIK, Gateway.ENVOY)


class House:
    """A shop with a gateway in front; `ask` sends what that sends for a request of its client."""

    def __init__(self, shop: Shop, gateway: Gateway) -> None:
        self.shop = shop
        self.gateway = gateway

    async def ask(self, method: str, target: str, *fields: tuple[str, str], key: bool = True) -> Answer:
        sent = [*([self.shop.bearer] if key else []), *fields]
        if self.gateway is Gateway.ENVOY:
            return await fetch(self.shop.port, method, target, *sent)
        word = "X-Original-" if self.gateway is Gateway.NGINX else "X-Forwarded-"
        named = [(f"{word}Method", method), (f"{word}Uri", target), (f"{word}Host", "api.example.com")]
        return await fetch(self.shop.port, "GET", "/", *named, *sent)

    def is_refused(self, answer: Answer, status: int, code: str) -> None:
        through = status if self.gateway is not Gateway.NGINX or status in {401, 403} else 403
        assert (answer.status, answer.get("x-sidecar-refusal")) == (through, code)
        if self.gateway is Gateway.NGINX:
            assert answer.get("x-sidecar-status") == str(status)
            assert f'"code":"{code}"' in str(answer.get("x-sidecar-problem"))


@pytest.fixture(params=GATEWAYS)
async def house(request: pytest.FixtureRequest, lane: Lane) -> AsyncIterator[House]:
    gateway: Gateway = request.param
    proxy = Proxy(listen="127.0.0.1:0", forward_auth=gateway)
    async with Upstream() as upstream:
        async with Shop(lane, upstream, rules=RULES, granted=10 * CREDIT, proxy=proxy) as shop:
            yield House(shop, gateway)
        assert upstream.requests == []


async def test_a_price_that_is_known_is_charged_at_once(house: House) -> None:
    answer = await house.ask("GET", "/search?q=a%2Fb")
    assert (answer.status, answer.body) == (200, b"")
    assert (answer.get("x-credits-charged"), answer.get("x-credits-available")) == ("1000000", "9000000")
    assert answer.get("x-settle-token") is None
    assert (await house.ask("GET", "/pages?pages=3")).get("x-credits-charged") == "1500000"
    balance = await house.shop.settled()
    assert balance.spent == 2.5 * CREDIT


async def test_what_is_free_passes_without_a_key(house: House) -> None:
    assert (await house.ask("GET", "/health", key=False)).status == 200
    assert (await house.shop.settled()).spent == 0


async def test_what_the_work_tells_is_settled_by_the_token(house: House) -> None:
    answer = await house.ask("POST", "/render/large")
    assert answer.status == 200
    assert str(answer.get("x-reservation-id")).startswith("rsv_")
    assert (await house.shop.balance()).held == 2 * CREDIT
    token = str(answer.get("x-settle-token"))
    settled = await house.shop.deferred.settle(token, {"gpu_ms": 100})
    assert settled.charged == 1.5 * CREDIT
    again = await house.shop.deferred.settle(token, {"gpu_ms": 100})
    assert (again.charged, again.replayed) == (settled.charged, True)
    failed = str((await house.ask("POST", "/job", ("X-Settle-Token", token))).get("x-settle-token"))
    assert failed != token
    await house.shop.deferred.settle(failed, None)
    with pytest.raises(Conflict):
        await house.shop.deferred.settle(failed, {})
    assert (await house.shop.settled()).spent == settled.charged


async def test_refusals_are_those_of_the_proxy(house: House) -> None:
    house.is_refused(await house.ask("GET", "/search", key=False), 401, "unidentified")
    house.is_refused(await house.ask("GET", "/nowhere"), 403, "unmatched_route")
    house.is_refused(await house.ask("POST", "/search"), 403, "unmatched_route")
    house.is_refused(await house.ask("GET", "/a/../search"), 400, "bad_request")
    for _ in range(10):
        assert (await house.ask("GET", "/search")).status == 200
    house.is_refused(await house.ask("GET", "/search"), 402, "insufficient_credits")


async def test_a_rule_that_reads_bodies_refuses(house: House) -> None:
    answer = await house.ask("POST", "/chat")
    house.is_refused(answer, 403, "unpriced")
    assert (await house.shop.settled()).spent == 0


async def test_shadow_lets_everything_through(house: House) -> None:
    answer = await house.ask("GET", "/shown")
    assert answer.status == 200
    assert [name for name, _ in answer.headers if name.lower().startswith(b"x-credits")] == []
    assert house.shop.metrics.shadow_refusals["shown", "insufficient_credits"] == 1


async def test_a_head_request_is_answered_as_the_gateway_asks(house: House) -> None:
    answer = await house.ask("HEAD", "/nowhere")
    house.is_refused(answer, 403, "unmatched_route")
    assert (await house.ask("GET", "/search")).status == 200


@pytest.mark.parametrize("house", [Gateway.NGINX, Gateway.TRAEFIK], indirect=True)
@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("Method", "GET")],
        [("Method", "GET"), ("Uri", "search")],
        [("Method", "GET"), ("Uri", "/se arch")],
        [("Method", "get"), ("Uri", "/search")],
        [("Method", "GET"), ("Uri", "/health"), ("Uri", "/search")],
        [("Method", "GET"), ("Method", "POST"), ("Uri", "/search")],
    ],
)
async def test_a_gateway_that_does_not_say_what_it_asks_about_is_refused(
    house: House, fields: list[tuple[str, str]]
) -> None:
    word = "X-Original-" if house.gateway is Gateway.NGINX else "X-Forwarded-"
    named = [(f"{word}{name}", value) for name, value in fields]
    answer = await fetch(house.shop.port, "GET", "/health", house.shop.bearer, *named)
    house.is_refused(answer, 400, "bad_request")


@pytest.mark.parametrize("house", [Gateway.ENVOY, Gateway.TRAEFIK], indirect=True)
async def test_what_another_gateway_would_send_is_a_clients(house: House) -> None:
    """Where the gateway asks in one way, a client that writes the headers of another decides nothing."""
    faked: list[Any] = [("X-Original-Method", "GET"), ("X-Original-Uri", "/health")]
    if house.gateway is Gateway.ENVOY:
        faked += [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/health")]
    answer = await house.ask("GET", "/search", *faked)
    assert answer.get("x-credits-charged") == "1000000"


@pytest.mark.parametrize("path", ["/render/large", "/job"])
async def test_the_hold_of_a_gateway_that_has_gone_comes_back(
    house: House, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went while the hold was taken, so it never hears of it."""
    shop, taken, go_on = house.shop, asyncio.Event(), asyncio.Event()
    take = shop.holds.take

    async def slowly(*asked: Any, **terms: Any) -> Any:
        hold = await take(*asked, **terms)
        taken.set()
        await go_on.wait()
        return hold

    monkeypatch.setattr(shop.holds, "take", slowly)
    asking = shop.tasks.start(house.ask("POST", path), "gateway")
    await taken.wait()
    asking.cancel()
    await until(lambda: not shop.proxy._engine.connections, "the gateway to be gone")
    go_on.set()
    assert (await shop.settled()).spent == 0
