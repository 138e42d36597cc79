"""The story of one request with a real store: what each side sees, and what the books say after each ending."""

import json

import pytest

from sidecar.config.settings import Proxy, Timeouts
from sidecar.domain.denials import Denial
from sidecar.domain.spend_caps import SpendCap
from sidecar.store.lane import Lane
from sidecar.store.spend_caps import SpendCaps
from tests.proxy.shop import Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Exchange, Gate, Script, Upstream, answers, chunk, head, says

CREDIT = 1_000_000
NOW_MS = 1_800_000_000_000
OURS = (
    "x-credits-charged",
    "x-credits-available",
    "x-reservation-id",
    "x-credits-unit",
    "x-credits-source",
    "x-sidecar-refusal",
)
FORGED = [(name, "forged") for name in OURS]
CHUNKED = ("transfer-encoding", "chunked")


async def test_a_paid_request_from_both_sides(lane: Lane) -> None:
    async with Upstream(answers(b"paid", *FORGED)) as upstream, Shop(lane, upstream) as shop:
        answer = await fetch(shop.port, "GET", "/fixed/a?b", shop.bearer, *FORGED, ("X-Kept", "1"))
        assert (answer.status, answer.body) == (200, b"paid")
        assert answer.get("x-credits-charged") == str(CREDIT)
        assert answer.get("x-credits-available") == str(99 * CREDIT)
        assert (answer.get("x-reservation-id") or "").startswith("rsv_")
        assert (answer.all("x-sidecar-refusal"), answer.all("x-credits-unit")) == ([], [])
        received = upstream.requests[0]
        assert received.target == b"/fixed/a?b"
        assert [received.all(name.encode()) for name in (*OURS, "authorization")] == [[]] * 7
        assert (received.get(b"x-kept"), received.get(b"x-api-token")) == (b"1", b"of-the-upstream")
        assert (await shop.settled()).spent == CREDIT


async def test_a_member_s_request_is_paid_by_its_parent_within_its_cap(lane: Lane) -> None:
    async with Upstream(answers(b"paid")) as upstream, Shop(lane, upstream) as shop:
        bob, _ = await shop.customers.create(external_id="bob", now_ms=1, parent_id=shop.customer_id)
        await shop.customers.set_pool_cap(bob.customer_id, "credits", 2 * CREDIT)
        for count in range(1, 3):
            answer = await fetch(shop.port, "GET", "/fixed/a", ("X-User", "bob"))
            assert (answer.status, answer.get("x-credits-available")) == (200, str((100 - count) * CREDIT))
        refused = await fetch(shop.port, "GET", "/fixed/a", ("X-User", "bob"))
        assert (refused.status, refused.get("x-sidecar-refusal")) == (402, "pool_cap_reached")
        assert (await shop.settled()).spent == 2 * CREDIT
        assert (await fetch(shop.port, "GET", "/fixed/a", shop.bearer)).status == 200


async def test_a_spend_cap_counts_and_says_when_there_is_room(lane: Lane) -> None:
    async with Upstream(answers(b"paid")) as upstream, Shop(lane, upstream) as shop:
        caps = SpendCaps(lane, tenant="default", environment="live")
        cap = SpendCap(cap_id="cap_1", unit="credits", amount=2 * CREDIT, rolling_ms=3_600_000, created_at_ms=NOW_MS)
        await caps.add(shop.customer_id, shop.customer_id, cap)
        for _ in range(2):
            assert (await fetch(shop.port, "GET", "/fixed/a", shop.bearer)).status == 200
        assert (await shop.settled()).spent == 2 * CREDIT
        refused = await fetch(shop.port, "GET", "/fixed/a", shop.bearer)
        assert (refused.status, refused.get("x-sidecar-refusal")) == (429, "spend_cap_reached")
        told = json.loads(refused.body)
        assert (told["cap_id"], told["scope"], told["rolling_seconds"], told["unit"]) == (
            "cap_1", "total", 3600, "credits",
        )  # fmt: skip
        assert (told["amount"], told["spent"], told["held"], told["required"]) == (2 * CREDIT, 2 * CREDIT, 0, CREDIT)
        assert 3_400 <= int(refused.get("Retry-After") or 0) <= 3_750
        assert refused.get("x-should-retry") == "false"
        assert len(upstream.requests) == 2


async def test_a_trusted_header_pays_and_ends_here(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream) as shop:
        for _ in range(2):
            assert (await fetch(shop.port, "GET", "/fixed/a", ("X-User", "alice"), ("X_User", "bob"))).status == 200
        assert all(one.all(name) == [] for one in upstream.requests for name in (b"x-user", b"x_user"))
        assert (await shop.settled()).spent == 2 * CREDIT


async def test_a_cost_header_is_charged_and_ends_here_even_in_interim_answers(lane: Lane) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nX-Cost: 3\r\nX-Credits-Charged: 9\r\nLink: </a>\r\n\r\n"
    script = says(hints, head(200, ("X-Cost", "3"), ("content-length", "2")) + b"ok")
    async with Upstream(script) as upstream, Shop(lane, upstream) as shop:
        answer = await fetch(shop.port, "GET", "/cost", shop.bearer, ("X-Cost", "0"))
        assert answer.informational == [103]
        assert b"x-cost" not in answer.raw.lower()
        assert answer.raw.count(b"x-credits-charged") == 1
        assert answer.get("x-credits-charged") == str(3 * CREDIT)
        assert upstream.requests[0].all(b"x-cost") == []
        assert (await shop.settled()).spent == 3 * CREDIT


@pytest.mark.parametrize(
    ("cost", "spent"), [("-3", 5), ("1e9", 5), ("nan", 5), ("999", 10), ("0", 0), ("0.0000001", 0)]
)
async def test_a_cost_that_cannot_be_true_never_gives_credit(lane: Lane, cost: str, spent: int) -> None:
    async with Upstream(answers(b"", ("X-Cost", cost))) as upstream, Shop(lane, upstream) as shop:
        assert (await fetch(shop.port, "GET", "/cost", shop.bearer)).status == 200
        balance = await shop.settled()
        assert spent * CREDIT <= balance.spent <= spent * CREDIT + 1


async def test_a_free_route_needs_nobody(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream) as shop:
        answer = await fetch(shop.port, "GET", "/free")
        assert (answer.status, [answer.all(name) for name in OURS]) == (200, [[]] * 6)
        assert (await shop.settled()).spent == 0


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/none", 403, "unmatched_route"),
        ("/free/../fixed/a", 400, "bad_request"),
        ("//free", 400, "bad_request"),
        ("/fixed%2f..%2ffree", 400, "bad_request"),
        ("/free%00", 400, "bad_request"),
        ("/fixed/a", 401, "unidentified"),
    ],
)
async def test_what_is_refused_reaches_nobody(lane: Lane, target: str, status: int, code: str) -> None:
    async with Upstream() as upstream, Shop(lane, upstream) as shop:
        for _ in range(2):
            answer = await fetch(shop.port, "GET", target)
            assert (answer.status, answer.get("x-sidecar-refusal")) == (status, code)
        assert upstream.requests == []
        assert shop.metrics.refusals[code] == 2


async def test_who_is_refused_what_is_counted_for_reports(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, granted=1) as shop:
        for fields in ((), (shop.bearer,), (shop.bearer,)):
            await fetch(shop.port, "GET", "/fixed/a", *fields)
        assert shop.metrics.take_denials() == {
            Denial("unidentified", "fixed", ""): 1,
            Denial("insufficient_credits", "fixed", shop.customer_id): 2,
        }
        assert shop.metrics.take_denials() == {}


async def test_options_star_is_no_path(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream) as shop:
        assert (await fetch(shop.port, "OPTIONS", "*")).status == 400
        assert upstream.requests == []


async def test_a_revoked_key_is_refused_by_the_store_whatever_is_remembered(lane: Lane) -> None:
    async with Upstream() as upstream, Shop(lane, upstream) as shop, RawClient(shop.port) as client:
        await client.send(request("GET", "/fixed/a", shop.bearer))
        assert (await client.answer()).status == 200
        (key,) = await shop.customers.keys(shop.customer_id)
        await shop.customers.revoke_key(shop.customer_id, key.key_id)
        await client.send(request("GET", "/fixed/a", shop.bearer))
        assert (await client.answer()).status == 401
        assert (await shop.settled()).spent == CREDIT


async def half(played: Exchange) -> None:
    await played.send(head(200, CHUNKED), chunk(b"half"))
    await played.gone()


async def never(played: Exchange) -> None:
    await played.gone()


@pytest.mark.parametrize(
    ("script", "timeouts", "status"),
    [
        (says(then="reset"), Timeouts(), 502),
        (says(b"nonsense\r\n\r\n"), Timeouts(), 502),
        (says(head(200, CHUNKED), chunk(b"x"), then="close"), Timeouts(), 200),
        (never, Timeouts(head_s=0.1), 504),
        (never, Timeouts(total_s=0.1), 504),
        (half, Timeouts(idle_s=0.1), 200),
    ],
    ids=["reset", "nonsense", "cut", "no head", "no head in all", "half"],
)
async def test_an_upstream_that_fails_is_not_paid(
    lane: Lane, script: Script, timeouts: Timeouts, status: int
) -> None:
    async with Upstream(script) as upstream, Shop(lane, upstream, timeouts=timeouts) as shop:
        async with RawClient(shop.port) as client:
            await client.send(request("POST", "/fixed/a", shop.bearer, body=b"x"))
            raw = (await client.answer()).raw if status != 200 else await client.ended()
        assert raw.startswith(b"HTTP/1.1 %d " % status)
        assert b"0\r\n\r\n" not in raw[-5:]
        assert (await shop.settled()).spent == 0


@pytest.mark.parametrize("phase", ["before the head", "in the body"])
async def test_a_client_that_goes_leaves_nothing_held(lane: Lane, phase: str) -> None:
    gate = Gate()

    async def script(played: Exchange) -> None:
        if phase == "in the body":
            await played.send(head(200, CHUNKED), chunk(b"half"))
        await gate.pause()
        await played.gone()

    async with Upstream(script) as upstream, Shop(lane, upstream) as shop:
        async with RawClient(shop.port) as client:
            await client.send(request("GET", "/left", shop.bearer))
            await gate.reached()
            if phase == "in the body":
                await client.receive(until=b"half")
        gate.open()
        await shop.settled()


@pytest.mark.parametrize("wait", [True, False])
async def test_the_end_of_an_answer_waits_for_its_charge_if_it_shall(lane: Lane, wait: bool) -> None:
    proxy = Proxy(listen="127.0.0.1:0", wait_for_commit=wait)
    script = says(head(200, CHUNKED), chunk(b"x"), b"0\r\n\r\n")
    async with Upstream(script) as upstream, Shop(lane, upstream, proxy=proxy) as shop:
        for count in range(1, 4):
            answer = await fetch(shop.port, "GET", "/fixed/a", shop.bearer)
            assert (answer.status, answer.body) == (200, b"x")
            if wait:
                assert (await shop.balance()).spent == count * CREDIT
        assert (await shop.settled()).spent == 3 * CREDIT


async def test_a_failure_inside_the_story_is_500_and_gives_the_hold_back(
    lane: Lane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Upstream() as upstream, Shop(lane, upstream) as shop, RawClient(shop.port) as client:
        with monkeypatch.context() as patched:
            patched.setattr("sidecar.proxy.story.wanted", None)
            await client.send(request("GET", "/fixed/a", shop.bearer))
            answer = await client.answer()
        assert (answer.status, answer.get("x-sidecar-refusal")) == (500, "internal")
        assert "the handler of a request failed" in caplog.text
        await until(lambda: upstream.requests == [], "nothing to be sent")
        assert (await shop.settled()).spent == 0
        await client.send(request("GET", "/fixed/a", shop.bearer))
        assert (await client.answer()).status == 200
