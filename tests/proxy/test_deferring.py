"""What of `settle: later` only the proxy does: who is told what, and when a hold stays.

tests/e2e/test_deferred.py has the whole story, in real processes.
"""

from pathlib import Path

import pytest

from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Upstream

RULES = """
version: 1
rules:
  - name: job
    match: {path: /job}
    price: {flat: 1}
    settle: later
  - name: other
    match: {path: /other}
    price: {flat: 1}
"""
ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return file


async def test_only_rules_that_settle_later_give_tokens(lane: Lane, rules: Path) -> None:
    async def accepts(exchange: Exchange) -> None:
        await exchange.send(ACCEPTED + b"ok")

    async with Upstream(accepts) as upstream, Shop(lane, upstream, rules=rules) as shop:
        for path in ("/job", "/other"):
            answer = await fetch(shop.port, "GET", path, shop.bearer, ("x-settle-token", "mine"))
            assert answer.status == 202
        tokens = [received.all(b"x-settle-token") for received in upstream.requests]
        assert [len(each) for each in tokens] == [1, 0]
        assert tokens[0] != [b"mine"]
        assert shop.metrics.requests["job", "deferred"] == 1
        assert ((await shop.balance()).held, (await shop.balance()).spent) == (1_000_000, 1_000_000)


async def test_a_hold_stays_whatever_becomes_of_the_client(lane: Lane, rules: Path) -> None:
    gate = Gate()

    async def accepts(exchange: Exchange) -> None:
        await exchange.send(ACCEPTED)
        await gate.pause()
        await exchange.send(b"ok")

    async with Upstream(accepts) as upstream, Shop(lane, upstream, rules=rules) as shop:
        async with RawClient(shop.port) as client:
            await client.send(request("GET", "/job", shop.bearer))
            await gate.reached(1)
        gate.open()
        await until(lambda: shop.proxy._engine.running == 0, "the request to end")
        assert (await shop.balance()).held == 1_000_000
