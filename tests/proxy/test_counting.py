"""Prices that go on over a period, through the whole proxy: what customers pay, and what they can never overspend."""

import asyncio
from pathlib import Path

import pytest

from sidecar.services.hold import Hold
from sidecar.store.counters import Counters
from sidecar.store.lane import Lane
from tests.proxy.shop import GRANTED, Shop
from tests.support.rawhttp import fetch
from tests.support.upstream import Exchange, Script, Upstream, answers

CREDIT = 1_000_000
RULES = Path(__file__).parent / "counting.yaml"


def pages(count: int, status: int = 200) -> Script:
    return answers(b"ok", ("x-pages", str(count)), status=status)


def in_turn(*scripts: Script) -> Script:
    """One after the other, one for each request."""
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await left.pop(0)(exchange)

    return script


async def post(shop: Shop, path: str, body: bytes = b"{}") -> tuple[int, int | None]:
    """The status, and what was charged, in base units."""
    answer = await fetch(shop.port, "POST", path, shop.bearer, body=body)
    charged = answer.get("x-credits-charged")
    return answer.status, None if charged is None else int(charged)


async def stands(shop: Shop) -> dict[str, tuple[int, int]]:
    found = await Counters(shop.lane, tenant="default", environment="live").of(shop.customer_id)
    return {each.counter.key: (each.stand.used, each.stand.held) for each in found}


async def test_an_allowance_and_tiers_over_several_requests(lane: Lane) -> None:
    async with Upstream(pages(40)) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        charged = [await post(shop, "/ocr") for _ in range(3)]
        # 40 are free; 10 are, 20 cost all, and 10 half; 40 cost half.
        assert [amount for _, amount in charged] == [0, 25 * CREDIT, 20 * CREDIT]
        assert await stands(shop) == {"ocr/pages@ever": (120, 0)}
        assert (await shop.settled()).spent == 45 * CREDIT


async def test_rules_count_together_each_at_its_own_price(lane: Lane) -> None:
    async with Upstream(answers(b"ok")) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        paths = ("/shared", "/shared-too", "/shared", "/shared-too")
        assert [(await post(shop, path))[1] for path in paths] == [0, 0, CREDIT, 3 * CREDIT]
        assert await stands(shop) == {"api_calls@ever": (4, 0)}


async def test_what_the_answer_says_decides_whether_it_counts(lane: Lane) -> None:
    script = in_turn(pages(6), pages(6, 404), pages(6), pages(6, 500))
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        charged = [(await post(shop, "/by-answer", b'{"pages": 6}'))[1] for _ in range(4)]
        assert charged == [6 * CREDIT, CREDIT, 5 * CREDIT, 0]
        assert await stands(shop) == {"by-answer/pages@ever": (12, 0)}
        await shop.settled()


async def test_a_fixed_hold(lane: Lane) -> None:
    async with Upstream(pages(2)) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        assert [(await post(shop, "/fixed"))[1] for _ in range(3)] == [0, CREDIT, 2 * CREDIT]
        assert await stands(shop) == {"fixed/pages@ever": (6, 0)}


async def test_unknown_usage_counts_what_was_held(lane: Lane) -> None:
    async with Upstream(answers(b"ok")) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        assert await post(shop, "/ocr", b'{"pages": 60}') == (200, 10 * CREDIT)
        assert await stands(shop) == {"ocr/pages@ever": (60, 0)}


@pytest.mark.parametrize(("credit", "served", "spent"), [(0, 50, 0), (60, 100, 35)])
async def test_a_burst_uses_an_allowance_once(lane: Lane, credit: int, served: int, spent: int) -> None:
    """One allowance, through two proxies with a hundred requests at once; all of it, if the balance is enough."""
    async with Upstream(pages(1)) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        other = Shop(lane, upstream, rules=RULES)
        other.customer_id, other.bearer = shop.customer_id, shop.bearer
        await other.proxy.start()
        spare = GRANTED - credit * CREDIT
        hold = await shop.holds.take(shop.customer_id, "external:alice", "credits", spare, "", "elsewhere")
        assert isinstance(hold, Hold)
        shops = (shop, other)
        statuses = [status for status, _ in await asyncio.gather(*(post(shops[n % 2], "/ocr") for n in range(100)))]
        assert statuses.count(200) == served
        assert statuses.count(200) + statuses.count(402) + statuses.count(429) == 100
        await shop.holds.release(hold, "")
        await other.proxy.drain(10)
        await other.proxy.close()
        balance = await shop.settled()
        assert (balance.spent, balance.owed) == (spent * CREDIT, 0)
        assert await stands(shop) == {"ocr/pages@ever": (served, 0)}


async def test_twelve_thousand_units_in_any_order(lane: Lane) -> None:
    """The sum is that of the tiers, 11 credits, however many are under way together."""
    async with Upstream(answers(b"ok")) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        for _ in range(10):
            await asyncio.gather(*(post(shop, "/events", b'{"units": 60}') for _ in range(20)))
        assert await stands(shop) == {"events/units@ever": (12_000, 0)}
        assert (await shop.settled()).spent == 11 * CREDIT
