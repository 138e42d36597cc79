"""What a request costs by all that it and its answer say, with a real store: held, charged, or refused."""

from pathlib import Path

import pytest

from sidecar.store.lane import Lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import fetch
from tests.support.upstream import Upstream, answers

RULES = Path(__file__).parent / "prices.yaml"
CREDIT = 1_000_000
EU = ("X-Region", "eu")


@pytest.mark.parametrize(
    ("target", "fields", "status", "refusal"),
    [
        ("/render/big.png?depth=deep", [EU], 200, None),
        ("/render/b%69g.png?a=1&dept%68=deep", [EU], 200, None),
        ("/render/small.png?depth=deep", [EU], 403, "unpriced"),
        ("/render/big.png?depth=flat", [EU], 403, "unpriced"),
        ("/render/big.png?depth=deep", [], 400, "unreadable_request"),
        ("/render/big.png?depth=deep", [EU, EU], 400, "unreadable_request"),
        ("/render/big.png?depth=deep&depth=flat", [EU], 400, "unreadable_request"),
        ("/render/big.png", [EU], 400, "unreadable_request"),
    ],
)
async def test_a_price_by_path_query_and_header(
    lane: Lane, target: str, fields: list[tuple[str, str]], status: int, refusal: str | None
) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "GET", target, shop.bearer, *fields)
        assert (answer.status, answer.get("x-sidecar-refusal")) == (status, refusal)
        assert len(upstream.requests) == (refusal is None)
        assert (await shop.settled()).spent == (2 * CREDIT if refusal is None else 0)


@pytest.mark.parametrize(
    ("status", "cache", "spent"),
    [(200, "HIT", 2), (200, "MISS", 4), (404, "HIT", 1), (500, "HIT", 0), (304, "HIT", 0)],
)
async def test_a_price_by_the_answer(lane: Lane, status: int, cache: str, spent: int) -> None:
    script = answers(b"", ("X-Cache", cache), status=status)
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "GET", "/cached", shop.bearer)
        assert (answer.status, answer.get("x-cache")) == (status, cache)
        assert (await shop.settled()).spent == spent * CREDIT


@pytest.mark.parametrize(("pages", "spent"), [(0, 1), (2, 1), (3, 2), (5, 6), (7, 8)])
async def test_tiers_an_allowance_and_the_least(lane: Lane, pages: int, spent: int) -> None:
    script = answers(b'{"pages": %d}' % pages, ("content-type", "application/json"))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        body = b'{"pages": %d}' % pages
        assert (await fetch(shop.port, "POST", "/pages", shop.bearer, body=body)).status == 200
        assert (await shop.settled()).spent == spent * CREDIT
