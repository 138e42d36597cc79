"""In shadow, whatever would be refused is served and not charged, and is what enforced rules refuse."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.config.settings import Proxy
from sidecar.domain.journal import Line, Position
from sidecar.store.address import parse_address
from sidecar.store.journal import Journal
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from tests.proxy.shop import Shop
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until
from tests.support.upstream import Exchange, Upstream, answers, head, says

CREDIT = 1_000_000
RULES = Path(__file__).parent / "shadow.yaml"
ALL = Proxy(listen="127.0.0.1:0", shadow=True)
JSON = ("content-type", "application/json")
COMPLETED = b'{"usage": {"prompt_tokens": 1, "completion_tokens": 7}}'
CHAT = {"model": "m", "max_tokens": 10}


def rules_in_shadow(tmp_path: Path, text: str = "defaults:\n  shadow: true\n") -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES.read_text().replace("defaults:\n", text))
    return file


@pytest.mark.parametrize(
    ("method", "target", "body", "key", "rule", "code", "cost"),
    [
        ("GET", "/none", None, True, "", "unmatched_route", 0),
        ("GET", "/none", None, False, "", "unmatched_route", 0),
        ("GET", "/a//b/../c", None, True, "", "bad_request", 0),
        ("GET", "/cost", None, False, "cost", "unidentified", 3),
        ("POST", "/chat", CHAT, False, "chat", "unidentified", 7),
        ("POST", "/chat", {"model": "other"}, True, "chat", "unpriced", 0),
        ("POST", "/chat", {"max_tokens": 5}, True, "chat", "unreadable_request", 0),
        ("POST", "/chat", None, True, "chat", "unreadable_request", 0),
        ("POST", "/chat", CHAT | {"max_tokens": 5000}, True, "chat", "insufficient_credits", 7),
        ("POST", "/chat", CHAT | {"max_tokens": 5000, "stream": True}, True, "chat", "insufficient_credits", 7),
    ],
)
async def test_nothing_keeps_a_request_from_the_upstream(
    lane: Lane, method: str, target: str, body: dict[str, object] | None, key: bool, rule: str, code: str, cost: int
) -> None:
    async with (
        Upstream(answers(COMPLETED, JSON, ("X-Cost", "3"))) as upstream,
        Shop(lane, upstream, rules=RULES, proxy=ALL) as shop,
    ):
        fields = [shop.bearer] if key else [("Authorization", "Bearer unknown")]
        sent = json.dumps(body).encode() if body is not None else b""
        answer = await fetch(shop.port, method, target, *fields, body=sent)
        assert (answer.status, answer.body) == (200, COMPLETED)
        assert b"x-credits" not in answer.raw.lower()
        assert b"x-reservation" not in answer.raw.lower()
        (received,) = upstream.requests
        assert (received.target, received.all(b"authorization")) == (target.encode(), [])
        got = json.loads(received.body) if received.body else None
        assert got == (body and {**body, **({"stream_options": {"include_usage": True}} if "stream" in body else {})})
        await shop.settled()
        assert shop.metrics.shadow_refusals == {(rule, code): 1}
        assert shop.metrics.requests == {(rule, "shadow"): 1}
        assert shop.metrics.refusals == {}
        assert shop.metrics.uncharged.total() == cost * CREDIT
        assert (await shop.settled()).spent == 0


async def test_a_customer_in_debt_is_served_and_owes_no_more(lane: Lane) -> None:
    costs = [50, 20, 50, 50, 50]

    async def script(played: Exchange) -> None:
        cost = costs[len(upstream.requests) - 1]
        await played.send(head(200, ("X-Cost", str(cost)), ("content-length", "0")))

    async with Upstream(script) as upstream, Shop(lane, upstream, rules=RULES, proxy=ALL) as shop:
        for _ in costs:
            assert (await fetch(shop.port, "GET", "/cost", shop.bearer)).status == 200
        await until(lambda: shop.proxy._engine.running == 0, "everything to settle")
        balance = await shop.balance()
        assert (balance.spent, balance.available, balance.owed) == (100 * CREDIT, 0, 20 * CREDIT)
        assert shop.metrics.shadow_refusals == {("cost", "insufficient_credits"): 2}
        assert shop.metrics.uncharged["credits"] == 100 * CREDIT


async def test_a_suspended_customer_is_served(lane: Lane) -> None:
    answer = answers(b"", ("X-Cost", "3"))
    async with Upstream(answer) as upstream, Shop(lane, upstream, rules=RULES, proxy=ALL) as shop:
        keys = Keys(tenant="default", environment="live")
        await lane.execute("HSET", keys.of(shop.customer_id).customer, "status", "suspended")
        assert (await fetch(shop.port, "GET", "/cost", shop.bearer)).status == 200
        assert shop.metrics.shadow_refusals == {("cost", "customer_suspended"): 1}
        assert (await shop.settled()).spent == 0


async def test_a_store_that_is_away_keeps_nobody_out(store_server: StoreServer) -> None:
    lane = make_lane(parse_address(store_server.url), timeout_s=0.5, connect_timeout_s=0.5)
    await lane.open()
    async with (
        Upstream(answers(b"", ("X-Cost", "3"))) as upstream,
        Shop(lane, upstream, rules=RULES, proxy=ALL) as shop,
    ):
        store_server.kill()
        for fields in (shop.bearer, ("X-User", "alice")):
            assert (await fetch(shop.port, "GET", "/cost", fields)).status == 200
        assert shop.metrics.shadow_refusals == {("cost", "store_unavailable"): 2}
        assert shop.metrics.uncharged["credits"] == 6 * CREDIT
    await lane.close()


async def test_the_ledger_says_what_would_have_been(lane: Lane, tmp_path: Path) -> None:
    async with (
        Upstream(answers(COMPLETED, JSON)) as upstream,
        Shop(lane, upstream, rules=rules_in_shadow(tmp_path)) as shop,
    ):
        body = json.dumps(CHAT | {"max_tokens": 5000}).encode()
        assert (await fetch(shop.port, "POST", "/chat", shop.bearer, body=body)).status == 200
        await shop.settled()
        journal = Journal(lane, tenant="default", environment="live")
        lines = await journal.read(journal.partition(shop.customer_id), Position(), 100)
        reasons = [line.reason for line in lines if isinstance(line, Line) and line.reason]
        assert reasons == ["shadow: insufficient_credits, hold 5000000000, cost 7000000"]


async def test_one_rule_in_shadow_leaves_others_and_unmatched_requests_alone(lane: Lane, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES.read_text().replace("    on_short: clamp max_tokens\n", "    shadow: true\n"))
    async with Upstream(answers(COMPLETED, JSON)) as upstream, Shop(lane, upstream, rules=file) as shop:
        unknown = ("Authorization", "Bearer unknown")
        assert (await fetch(shop.port, "GET", "/cost", unknown)).status == 401
        assert (await fetch(shop.port, "GET", "/none", unknown)).status == 403
        assert (await fetch(shop.port, "POST", "/chat", unknown, body=b"{}")).status == 200
        assert len(upstream.requests) == 1


async def test_what_fits_is_charged_and_its_client_hears_nothing_of_it(lane: Lane, tmp_path: Path) -> None:
    async with (
        Upstream(answers(COMPLETED, JSON)) as upstream,
        Shop(lane, upstream, rules=rules_in_shadow(tmp_path)) as shop,
    ):
        answer = await fetch(shop.port, "POST", "/chat", shop.bearer, body=json.dumps(CHAT).encode())
        assert b"x-credits" not in answer.raw.lower()
        assert b"x-reservation" not in answer.raw.lower()
        assert (await shop.settled()).spent == 7 * CREDIT
        assert shop.metrics.requests == {("chat", "charged"): 1}


async def test_an_upstream_that_fails_is_told_as_ever(lane: Lane, tmp_path: Path) -> None:
    async with (
        Upstream(says(then="reset")) as upstream,
        Shop(lane, upstream, rules=rules_in_shadow(tmp_path)) as shop,
    ):
        answer = await fetch(shop.port, "POST", "/chat", ("Authorization", "Bearer unknown"), body=b"{}")
        assert (answer.status, answer.get("x-sidecar-refusal")) == (502, "upstream_broken")


async def test_a_warning_names_the_rules(lane: Lane, caplog: pytest.LogCaptureFixture) -> None:
    async with Upstream() as upstream:
        Shop(lane, upstream, rules=RULES, proxy=ALL)
    assert "in shadow, so that nothing is refused: cost, chat, recent" in caplog.text


# --- Shadow and enforcement on the same trace ---------------------------------------------------------------------

_REQUESTS = st.one_of(
    st.builds(lambda cost: ("GET", "/cost", b"", cost), st.integers(0, 60)),
    st.builds(lambda cost: ("GET", "/recent", b"", cost), st.integers(0, 60)),
    st.builds(
        lambda most, used: ("POST", "/chat", json.dumps({"model": "m", "max_tokens": most}).encode(), used),
        st.integers(1, 120),
        st.integers(0, 120),
    ),
    st.sampled_from([("POST", "/chat", b"{}", 1), ("POST", "/chat", b"no", 1), ("GET", "/none", b"", 1)]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trace=st.lists(_REQUESTS, min_size=1, max_size=14))
async def test_shadow_decides_as_enforcement_does(
    lane: Lane, shared_store: StoreServer, trace: list[tuple[str, str, bytes, int]], tmp_path: Path
) -> None:
    file = tmp_path / "enforced.yaml"
    file.write_text(RULES.read_text().replace("    on_short: clamp max_tokens\n", ""))
    found = []
    for proxy in (Proxy(listen="127.0.0.1:0"), ALL):
        with shared_store.client() as client:
            client.flushall()
        found.append(await played(lane, file, proxy, trace))
    enforced, shadowed = found
    assert enforced == shadowed


async def played(
    lane: Lane, rules: Path, proxy: Proxy, trace: list[tuple[str, str, bytes, int]]
) -> tuple[list[str | None], tuple[int, int, int]]:
    """The refusal of each request, real or would-be, and the balance in the end."""
    costs: list[int] = []

    async def script(exchange: Exchange) -> None:
        body = b'{"usage": {"prompt_tokens": 1, "completion_tokens": %d}}' % costs[-1]
        length = ("content-length", str(len(body)))
        await exchange.send(head(200, JSON, ("X-Cost", str(costs[-1])), length) + body)

    codes: list[str | None] = []
    async with Upstream(script) as upstream, Shop(lane, upstream, rules=rules, proxy=proxy) as shop:
        for method, target, body, cost in trace:
            costs.append(cost)
            shop.metrics.shadow_refusals.clear()
            answer = await fetch(shop.port, method, target, shop.bearer, body=body)
            assert answer.status == 200 or not proxy.shadow
            would_be = [code for _, code in shop.metrics.shadow_refusals]
            codes.append(next(iter(would_be), None) if proxy.shadow else answer.get("x-sidecar-refusal"))
            await until(lambda: shop.proxy._engine.running == 0, "the request to be settled")
        balance = await shop.balance()
        return codes, (balance.available, balance.spent, balance.owed)
