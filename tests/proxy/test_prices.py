"""What a request costs by all that it and its answer say, with a real store: held, charged, or refused."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.domain import proxy_keys
from sidecar.domain.blocks import Grant
from sidecar.domain.ids import new_id
from sidecar.domain.once import Once
from sidecar.store.customers import Customers
from sidecar.store.lane import Lane
from tests.proxy.shop import GRANTED, Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Upstream, answers, says

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


async def test_all_that_one_costs_is_rounded_once(lane: Lane) -> None:
    """1,234 at 3,000 for a million and 567 at 15,000 are 3.702 and 8.505, so 12.207, so 13 (and not 4 and 9)."""
    script = answers(b"", ("X-Input", "1234"), ("X-Output", "567"))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        assert (await fetch(shop.port, "GET", "/tokens", shop.bearer)).status == 200
        assert (await shop.settled()).spent == 13


@pytest.mark.parametrize(("pages", "spent"), [(0, 1), (2, 1), (3, 2), (5, 6), (7, 8)])
async def test_tiers_an_allowance_and_the_least(lane: Lane, pages: int, spent: int) -> None:
    script = answers(b'{"pages": %d}' % pages, ("content-type", "application/json"))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        body = b'{"pages": %d}' % pages
        assert (await fetch(shop.port, "POST", "/pages", shop.bearer, body=body)).status == 200
        assert (await shop.settled()).spent == spent * CREDIT


BY_CUSTOMER = """\
version: 1
defaults:
  identity:
    - header: {name: X-Customer-Id, from: [127.0.0.0/8]}
    - api_key: {header: Authorization, scheme: Bearer}
rules:
  - name: render
    match: {path: "/render/{size}"}
    price:
      by: [customer, path.size]
      rates:
        bob: {"*": {flat: 3}}
        CUSTOMER: {big: {flat: 2}, "*": {flat: 1}}
        no-*: deny
        "*": {"*": {flat: 7}}
"""


async def another(shop: Shop, name: str) -> tuple[str, tuple[str, str]]:
    """A further customer with credit, and the header with its key."""
    customer, _ = await shop.customers.create(external_id=name, now_ms=1)
    _, secret = await shop.customers.create_key(customer.customer_id, name="k", now_ms=1)
    grant = Grant(block_id="blk_1", unit="credits", amount=GRANTED, source="test")
    await shop.accounts.grant(customer.customer_id, grant, Once(key="once", fingerprint="f"))
    return customer.customer_id, ("Authorization", f"Bearer {secret}")


@pytest.fixture
async def shop(lane: Lane, tmp_path: Path) -> AsyncIterator[Shop]:
    """Prices by customer; alice is named by our own id."""
    alice, _ = await Customers(lane, tenant="default", environment="live").create(external_id="alice", now_ms=1)
    rules = tmp_path / "rules.yaml"
    rules.write_text(BY_CUSTOMER.replace("CUSTOMER", alice.customer_id))
    async with Upstream() as upstream, Shop(lane, upstream, rules=rules) as shop:
        yield shop


async def spent(shop: Shop, customer_id: str) -> int:
    await shop.settled()
    (balance,) = await shop.accounts.balances(customer_id)
    return balance.spent // CREDIT


async def test_customers_on_one_connection_have_prices_of_their_own(shop: Shop) -> None:
    bob, bobs = await another(shop, "bob")
    carol, carols = await another(shop, "carol")
    async with RawClient(shop.port) as client:
        for key in [shop.bearer, bobs, carols, shop.bearer, bobs, bobs, carols, shop.bearer]:
            await client.send(request("GET", "/render/big", key))
            assert (await client.answer()).status == 200
    assert await spent(shop, shop.customer_id) == 3 * 2
    assert await spent(shop, bob) == 3 * 3
    assert await spent(shop, carol) == 2 * 7


async def test_nothing_that_a_client_says_makes_it_another_customer(shop: Shop) -> None:
    carol, carols = await another(shop, "carol")
    said = [("customer", "bob"), ("external_id", "bob"), ("X-Customer", shop.customer_id)]
    body = b'{"customer": "bob", "customer_id": "bob"}'
    answer = await fetch(shop.port, "POST", "/render/bob?customer=bob", carols, *said, body=body)
    assert answer.status == 200
    assert await spent(shop, carol) == 7


async def test_a_customer_whose_own_id_looks_like_one_of_ours_is_not_taken_for_it(shop: Shop) -> None:
    mallory, mallorys = await another(shop, shop.customer_id)
    assert (await fetch(shop.port, "GET", "/render/big", mallorys)).status == 200
    assert await spent(shop, mallory) == 7


async def test_a_customer_that_a_trusted_front_names(shop: Shop) -> None:
    bob, _ = await another(shop, "bob")
    assert (await fetch(shop.port, "GET", "/render/big", ("X-Customer-Id", "bob"))).status == 200
    assert await spent(shop, bob) == 3


async def test_a_customer_without_a_price_learns_nothing_of_others(shop: Shop) -> None:
    customer_id, key = await another(shop, "no-money")
    answer = await fetch(shop.port, "GET", "/render/big", key)
    assert (answer.status, answer.get("x-sidecar-refusal")) == (403, "unpriced")
    assert b"no-money" not in answer.body
    stranger = proxy_keys.mint("live", new_id("cus", 1, bytes(10)), bytes(32))
    answer = await fetch(shop.port, "GET", "/render/big", ("Authorization", f"Bearer {stranger}"))
    assert (answer.status, answer.get("x-sidecar-refusal")) == (401, "unidentified")
    assert await spent(shop, customer_id) == 0


@pytest.mark.parametrize(
    ("fields", "trailers", "spent"),
    [
        (b"", b"X-Cost: 1.5\r\nX-Sum: 9\r\n", 3),
        (b"X-Cost: 1\r\n", b"X-Cost: 1.5\r\nX-Sum: 9\r\n", 2),
        (b"", b"X-Sum: 9\r\n", 5),
        (b"", b"X-Cost: 1\r\nX-Cost: 1\r\nX-Sum: 9\r\n", 5),
    ],
)
async def test_a_cost_in_a_trailer(lane: Lane, fields: bytes, trailers: bytes, spent: int) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Cost, X-Sum\r\n%b\r\n" % fields
    script = says(head, b"3\r\nabc\r\n", b"0\r\n%b\r\n" % trailers)
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        async with RawClient(shop.port) as client:
            head = request("POST", "/late", shop.bearer, ("Transfer-Encoding", "chunked"), ("X-Cost", "0"))
            await client.send(head + b"1\r\na\r\n0\r\nX-Cost: 0\r\n\r\n")
            answer = await client.answer()
        assert (answer.body, answer.trailers) == (b"abc", [(b"X-Sum", b"9")])
        assert (answer.get("x-cost"), answer.get("trailer")) == (None, "x-sum")
        (received,) = upstream.requests
        assert (received.get(b"te"), received.get(b"x-cost"), received.trailers) == (b"trailers", None, [])
        assert (await shop.settled()).spent == spent * CREDIT
