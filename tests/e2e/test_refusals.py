"""Requests that may not pass, and answers that may not cost what they say: a clear word, and nothing changed."""

import asyncio
import gzip

import pytest

from tests.e2e.house import BODY_MAX_BYTES, CREDIT, House, assert_conserved
from tests.support.rawhttp import Answer, RawClient, fetch, request
from tests.support.upstream import Exchange, answers

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHAT = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'


def bearer(secret: str) -> tuple[str, str]:
    return ("Authorization", f"Bearer {secret}")


def assert_refused(house: House, answer: Answer, status: int, code: str) -> None:
    """A problem document with our mark on it, and nothing heard at the upstream."""
    assert (answer.status, answer.get("x-sidecar-refusal")) == (status, code), answer.body
    assert answer.get("content-type") == "application/problem+json"
    assert answer.json()["code"] == code
    assert answer.json()["status"] == status
    assert house.upstream.requests == []


async def test_unmatched_routes_are_denied(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    for method, path in [
        ("GET", "/"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/chat/Completions"),
        ("DELETE", "/v1/models"),
        ("POST", "/elsewhere"),
    ]:
        answer = await fetch(house.port, method, path, buyer.bearer)
        assert_refused(house, answer, 403, "unmatched_route")
    await house.settled(buyer, spent=0)


@pytest.mark.parametrize(
    "path", ["/fixed/../v1/models", "/fixed/%2e%2e/v1/models", "//v1/models", "/v1/./models", "/v1\\models"]
)
async def test_a_path_that_can_be_read_in_two_ways_passes_no_rule(house: House, path: str) -> None:
    buyer = await house.control.buyer(CREDIT)
    answer = await fetch(house.port, "GET", path, buyer.bearer)
    assert answer.status in {400, 403}
    assert house.upstream.requests == []
    await house.settled(buyer, spent=0)


async def test_no_key_and_a_foreign_key_are_unidentified(house: House) -> None:
    for fields in ([], [("Authorization", "Basic YTpi")], [bearer("")], [bearer("sk_live_" + "a" * 70)]):
        assert_refused(house, await fetch(house.port, "GET", "/fixed/a", *fields), 401, "unidentified")


async def test_a_revoked_key_is_refused_at_once(house: House) -> None:
    buyer = await house.control.buyer(5 * CREDIT)
    house.upstream.script = answers()
    async with RawClient(house.port) as client:
        await client.send(request("GET", "/fixed/a", buyer.bearer))
        assert (await client.answer()).status == 200
        house.upstream.forget()
        await house.control.revoke(buyer)
        await client.send(request("GET", "/fixed/a", buyer.bearer))
        assert_refused(house, await client.answer(), 401, "unidentified")
    await house.settled(buyer, spent=CREDIT)


async def test_an_empty_purse_is_402_and_says_what_is_missing(house: House) -> None:
    buyer = await house.control.buyer(CREDIT // 2)
    answer = await fetch(house.port, "GET", "/fixed/a", buyer.bearer)
    assert_refused(house, answer, 402, "insufficient_credits")
    assert answer.get("x-should-retry") == "false"
    assert answer.get("retry-after") is None
    problem = answer.json()
    assert (problem["required"], problem["available"]) == (CREDIT, CREDIT // 2)
    await house.settled(buyer, spent=0)


async def test_a_grant_works_on_the_very_next_request(house: House) -> None:
    house.upstream.script = answers()
    buyer = await house.control.buyer(0)
    assert (await fetch(house.port, "GET", "/fixed/a", buyer.bearer)).status == 402
    await house.control.grant(buyer, CREDIT)
    assert (await fetch(house.port, "GET", "/fixed/a", buyer.bearer)).status == 200
    await house.settled(buyer, spent=CREDIT)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"{", 400, "unreadable_request", id="broken JSON"),
        pytest.param(b"[]", 400, "unreadable_request", id="no object"),
        pytest.param(b"", 400, "unreadable_request", id="nothing"),
        pytest.param(b'{"messages":[]}', 400, "unreadable_request", id="no model"),
        pytest.param(b'{"model":["gpt-4o-mini"]}', 400, "unreadable_request", id="a model that is no value"),
        pytest.param(b'{"model":7}', 403, "unpriced", id="a number that is no model"),
        pytest.param(b'{"model":"gpt-4o-mini","model":"gpt-x"}', 400, "unreadable_request", id="two models"),
        pytest.param(b'{"model":"gpt-x","messages":[]}', 403, "unpriced", id="no price"),
    ],
)
async def test_a_body_that_has_no_price_is_refused_in_the_apis_own_shape(
    house: House, body: bytes, status: int, code: str
) -> None:
    buyer = await house.control.buyer(CREDIT)
    answer = await fetch(house.port, "POST", "/v1/chat/completions", buyer.bearer, body=body)
    assert (answer.status, answer.get("x-sidecar-refusal")) == (status, code)
    error = answer.json()["error"]
    assert isinstance(error, dict)
    assert error["code"] == code
    assert error["message"]
    assert house.upstream.requests == []
    await house.settled(buyer, spent=0)


async def test_a_coded_body_has_no_price(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    fields = (buyer.bearer, ("Content-Encoding", "gzip"))
    answer = await fetch(house.port, "POST", "/v1/chat/completions", *fields, body=gzip.compress(CHAT))
    assert (answer.status, answer.get("x-sidecar-refusal")) == (400, "unreadable_request")
    assert house.upstream.requests == []
    await house.settled(buyer, spent=0)


async def test_a_body_over_the_limit_is_413(house: House) -> None:
    buyer = await house.control.buyer(5 * CREDIT)
    long = bytes(BODY_MAX_BYTES + 1)
    said = await fetch(house.port, "POST", "/fixed/a", buyer.bearer, body=long)
    assert said.status == 413
    async with RawClient(house.port) as client:
        chunked = ("Transfer-Encoding", "chunked")
        await client.send(request("POST", "/v1/chat/completions", buyer.bearer, chunked))
        await client.send(b"%x\r\n" % len(long) + long)
        assert (await client.answer()).status == 413
    assert [each for each in house.upstream.requests if each.complete] == []
    await house.settled(buyer, spent=0)


MALFORMED = [
    pytest.param(b"GET /fixed/a HTTP/1.1\r\n\r\n", id="no host"),
    pytest.param(b"GET /fixed/a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", id="two hosts"),
    pytest.param(b"GET /fixed/a HTTP/1.1\nHost: a\r\n\r\n", id="a bare line feed"),
    pytest.param(b"GET /fixed/a HTTP/1.1\r\nHost : a\r\n\r\n", id="a space before the colon"),
    pytest.param(
        b"POST /fixed/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        id="two lengths",
    ),
    pytest.param(
        b"POST /fixed/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        id="length and chunks",
    ),
    pytest.param(
        b"POST /fixed/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        id="no chunk size",
    ),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
]


@pytest.mark.parametrize("bytes_sent", MALFORMED)
async def test_malformed_requests_are_400_and_change_nothing(house: House, bytes_sent: bytes) -> None:
    buyer = await house.control.buyer(CREDIT)
    key = f"Authorization: Bearer {buyer.secret}".encode()
    async with RawClient(house.port) as client:
        await client.send(bytes_sent.replace(b"Host", key + b"\r\nHost", 1))
        assert (await client.answer()).status == 400
        await client.ended()
    assert [each for each in house.upstream.requests if each.complete] == []
    await house.settled(buyer, spent=0)


@pytest.mark.parametrize(
    ("said", "price"),
    [
        pytest.param("1000", 12_000, id="the price: 0.01 flat + 0.002"),
        pytest.param("0", 10_000, id="nothing used"),
        pytest.param("0.5", 10_001, id="a fraction, rounded up"),
        pytest.param("-1000", 250_000, id="negative: the hold"),
        pytest.param("1e9", 250_000, id="an exponent: the hold"),
        pytest.param("NaN", 250_000, id="no number: the hold"),
        pytest.param("99999999999999999999", 250_000, id="absurd: the hold"),
        pytest.param("9007199254740991", 5 * CREDIT, id="as large as can be: max_charge"),
        pytest.param(None, 250_000, id="missing: the hold"),
    ],
)
async def test_a_cost_header_never_raises_a_balance_nor_passes_the_cap(
    house: House, said: str | None, price: int
) -> None:
    buyer = await house.control.buyer(10 * CREDIT)
    house.upstream.once(answers(b"picture", *([("X-Gpu-Ms", said)] if said is not None else [])))
    answer = await fetch(house.port, "POST", "/render/large", buyer.bearer, body=b"draw")
    assert (answer.status, answer.body) == (200, b"picture")
    assert answer.get("x-gpu-ms") is None
    assert answer.get("x-credits-charged") is not None
    balance = await house.settled(buyer, spent=price)
    assert balance.granted == 10 * CREDIT


async def test_costs_that_a_client_sends_influence_nothing(house: House) -> None:
    buyer = await house.control.buyer(10 * CREDIT)
    house.upstream.once(
        answers(b"picture", ("x-gpu-ms", "1000"), ("x-credits-charged", "0"), ("x-credits-cost", "0"))
    )
    answer = await fetch(
        house.port, "POST", "/render/large", buyer.bearer, ("X-Gpu-Ms", "0"), ("x-credits-cost", "0"),
        ("x-credits-charged", "0"), ("x-credits-available", "9"), ("x-reservation-id", "rsv_mine"),
        ("x-sidecar-refusal", "none"), body=b"draw",
    )  # fmt: skip
    assert house.upstream.requests[0].get(b"x-gpu-ms") is None
    assert answer.get("x-credits-charged") == "12000"
    assert answer.get("x-credits-available") == "9988000"
    assert answer.get("x-reservation-id") != "rsv_mine"
    await house.settled(buyer, spent=12_000)


async def test_one_request_with_two_costs_is_charged_the_hold(house: House) -> None:
    buyer = await house.control.buyer(10 * CREDIT)
    house.upstream.once(answers(b"picture", ("x-gpu-ms", "0"), ("x-gpu-ms", "1000")))
    answer = await fetch(house.port, "POST", "/render/large", buyer.bearer, body=b"draw")
    assert answer.get("x-gpu-ms") is None
    await house.settled(buyer, spent=250_000)


async def test_a_cost_above_the_hold_takes_the_rest_and_owes_what_is_missing(house: House) -> None:
    """The hold was 0.25 and the cost is 2.01: the purse of 1 is emptied, 1.01 is owed, and the next is refused."""
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(answers(b"picture", ("x-gpu-ms", "1000000")))
    answer = await fetch(house.port, "POST", "/render/large", buyer.bearer, body=b"draw")
    assert answer.status == 200
    balance = await house.control.balance(buyer)
    assert (balance.available, balance.held, balance.spent, balance.owed) == (0, 0, CREDIT, 1_010_000)
    assert_conserved(balance)
    assert (await fetch(house.port, "POST", "/render/large", buyer.bearer)).status == 402
    await house.control.grant(buyer, 2 * CREDIT)
    balance = await house.settled(buyer, spent=2_010_000)
    assert balance.available == 990_000


async def test_a_free_rule_needs_no_purse(house: House) -> None:
    house.upstream.script = answers(b"[]")
    answer = await fetch(house.port, "GET", "/v1/models")
    assert (answer.status, answer.body) == (200, b"[]")
    assert answer.get("x-reservation-id") is None


@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        pytest.param("/fixed/" + "a" * 9000, [], 414, id="a target over the limit"),
        pytest.param("/fixed/a", [("X-Long", "a" * 70_000)], 431, id="a head over the limit"),
        pytest.param("/fixed/a", [(f"X-{number}", "") for number in range(200)], 431, id="too many fields"),
        pytest.param("/fixed/a", [("Connection", "upgrade"), ("Upgrade", "websocket")], 501, id="an upgrade"),
        pytest.param("http://another.example/fixed/a", [], 400, id="another host in the target"),
    ],
)
async def test_what_the_proxy_does_not_do_is_said_and_costs_nothing(
    house: House, target: str, fields: list[tuple[str, str]], status: int
) -> None:
    buyer = await house.control.buyer(CREDIT)
    answer = await fetch(house.port, "GET", target, buyer.bearer, *fields)
    assert answer.status == status
    assert answer.get("x-sidecar-refusal") is not None
    assert house.upstream.requests == []
    await house.settled(buyer, spent=0)


async def test_absolute_form_is_charged_as_origin_form(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(answers())
    answer = await fetch(house.port, "GET", "http://api.example/fixed/a?b=c", buyer.bearer)
    assert answer.status == 200
    assert house.upstream.requests[0].target == b"/fixed/a?b=c"
    await house.settled(buyer, spent=CREDIT)


async def test_a_client_that_waits_for_100_continue_hears_it_from_who_reads_the_body(house: House) -> None:
    async def continues(exchange: Exchange) -> None:
        assert exchange.request.get(b"expect") == b"100-continue"
        await exchange.send(CONTINUE)
        await answers()(exchange)

    # The upstream reads what the proxy does not need to see; the proxy itself what the price depends on.
    house.upstream.once(continues, answers())
    buyer = await house.control.buyer(2 * CREDIT)
    for target, body in (("/fixed/a", b"hello"), ("/v1/chat/completions", CHAT)):
        async with RawClient(house.port) as client:
            fields = (buyer.bearer, ("Expect", "100-continue"), ("Content-Length", str(len(body))))
            await client.send(request("POST", target, *fields))
            await client.receive(until=CONTINUE)
            await client.send(body)
            assert (await client.answer("POST")).status == 200
    assert [each.body for each in house.upstream.requests] == [b"hello", CHAT]
    assert house.upstream.requests[1].get(b"expect") is None


async def test_a_client_that_waits_for_100_continue_is_refused_before_it_sends(house: House) -> None:
    buyer = await house.control.buyer(0)
    async with RawClient(house.port) as client:
        fields = (buyer.bearer, ("Expect", "100-continue"), ("Content-Length", "5"))
        await client.send(request("POST", "/fixed/a", *fields))
        answer = await client.answer("POST")
    assert answer.informational == []
    assert_refused(house, answer, 402, "insufficient_credits")


async def test_refusals_do_not_disturb_each_other(house: House) -> None:
    rich, poor = await house.control.buyer(20 * CREDIT), await house.control.buyer(0)
    house.upstream.script = answers()
    statuses = await asyncio.gather(
        *(
            fetch(house.port, "GET", "/fixed/a", (rich, poor)[number % 2].bearer) for number in range(40)
        )
    )  # fmt: skip
    assert [each.status for each in statuses] == [200, 402] * 20
    await house.settled(rich, spent=20 * CREDIT)
