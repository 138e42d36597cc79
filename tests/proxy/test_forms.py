"""Forms on the wire: priced by their fields and by the size of their parts, refused or broken off when unclear."""

from pathlib import Path

import pytest

from sidecar.config.settings import Proxy
from sidecar.store.lane import Lane
from tests.proxy.shop import GRANTED, Shop
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.until import until
from tests.support.upstream import Upstream, answers

RULES = Path(__file__).parent / "forms.yaml"
CREDIT = 1_000_000
PARTS = ("Content-Type", "multipart/form-data; boundary=x")
ENCODED = ("Content-Type", "application/x-www-form-urlencoded")
CHUNKED = ("Transfer-Encoding", "chunked")


def part(name: str, content: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), content)


FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n'
CHEAP, DEAR = part("model", b"cheap"), part("model", b"dear")


@pytest.mark.parametrize(
    ("fields", "body", "status", "spent"),
    [
        (PARTS, CHEAP + FILE + b"--x--", 200, 2),
        (PARTS, DEAR + part("seconds", b"20") + part("n", b"3") + FILE + FILE + b"--x--\r\n", 200, 6),
        (PARTS, CHEAP + DEAR + FILE + b"--x--", 400, 0),
        (PARTS, CHEAP + part("Model", b"dear") + FILE + b"--x--", 400, 0),
        (PARTS, CHEAP + part("seconds", b"1e-3") + FILE + b"--x--", 400, 0),
        (PARTS, CHEAP + FILE + b"--x--" + DEAR + b"--x--", 400, 0),
        (PARTS, part("model", b"other") + b"--x--", 403, 0),
        (PARTS, FILE + b"--x--", 400, 0),
        (ENCODED, b"model=cheap", 400, 0),
        (("Content-Type", "application/json"), b'{"model": "cheap"}', 400, 0),
    ],
)
async def test_a_price_by_a_field_of_a_form(
    lane: Lane, fields: tuple[str, str], body: bytes, status: int, spent: int
) -> None:
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "POST", "/transcribe", shop.bearer, fields, body=body)
        assert answer.status == status
        refusal = {200: None, 400: "unreadable_request", 403: "unpriced"}[status]
        assert answer.get("x-sidecar-refusal") == refusal
        assert [received.body for received in upstream.requests] == ([body] if status == 200 else [])
        assert (await shop.settled()).spent == spent * CREDIT


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_parts_are_counted_while_they_pass(lane: Lane, framing: str) -> None:
    content = b"\r\n--\r\n" * 4_000
    body = part("file", content) + part("other", b"abc") + part("file[]", b"de") + b"--x--\r\n"
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop, RawClient(shop.port) as client:
        if framing == "length":
            await client.send(request("POST", "/upload", shop.bearer, PARTS, ("Content-Length", str(len(body)))))
            await client.send(body[:100])
            # What has arrived is sent on before the rest is here, and the hold is for all that may come.
            await until(lambda: bool(upstream.requests), "the upstream to have its beginning")
            assert (await shop.balance()).held == len(body) * 1000
            for start in range(100, len(body), 10_007):
                await client.send(body[start : start + 10_007])
        else:
            await client.send(request("POST", "/upload", shop.bearer, PARTS, CHUNKED))
            await client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert (await client.answer()).status == 200
        assert upstream.requests[0].body == body
        assert (await shop.settled()).spent == (len(content) + 2) * 1000


async def test_a_form_that_turns_out_unclear_is_broken_off_and_costs_its_hold(lane: Lane) -> None:
    body = part("file", b"abc") + part("FILE", b"abc") + b"--x--"
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES) as shop, RawClient(shop.port) as client:
        await client.send(request("POST", "/upload", shop.bearer, PARTS, ("Content-Length", str(len(body)))))
        await client.send(body[:70])
        await until(lambda: bool(upstream.requests), "the upstream to have its beginning")
        await client.send(body[70:])
        answer = await client.answer()
        assert (answer.status, answer.get("x-sidecar-refusal")) == (400, "unreadable_request")
        assert not upstream.requests[0].complete
        assert (await shop.settled()).spent == len(body) * 1000


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ([PARTS], part("file", b"abc")),
        ([PARTS], b"{}"),
        ([PARTS, ("Content-Encoding", "gzip")], part("file", b"abc") + b"--x--"),
        ([ENCODED], b"file=abc"),
        ([], b"abc"),
        ([("Content-Type", "multipart/form-data")], part("file", b"abc") + b"--x--"),
    ],
)
async def test_what_is_no_form_is_refused_before_it_costs(
    lane: Lane, fields: list[tuple[str, str]], body: bytes
) -> None:
    async with Upstream(answers()) as upstream, Shop(lane, upstream, rules=RULES) as shop:
        answer = await fetch(shop.port, "POST", "/upload", shop.bearer, *fields, body=body)
        assert (answer.status, answer.get("x-sidecar-refusal")) == (400, "unreadable_request")
        assert upstream.requests == []
        assert (await shop.settled()).available == GRANTED


@pytest.mark.parametrize("granted", [True, False])
async def test_in_shadow_a_form_is_counted_and_never_broken_off(lane: Lane, granted: bool) -> None:
    body = part("file", b"abc") + part("FILE", b"abc") + part("file", b"abc") + b"--x--"
    size = 0 if granted else GRANTED // 1000 - len(body) + 1
    body = part("other", bytes(size)) + body
    proxy = Proxy(listen="127.0.0.1:0", shadow=True)
    async with Upstream() as upstream, Shop(lane, upstream, rules=RULES, proxy=proxy) as shop:
        assert (await fetch(shop.port, "POST", "/upload", shop.bearer, PARTS, body=body)).status == 200
        assert upstream.requests[0].body == body
        balance = await shop.settled()
        assert (balance.spent, shop.metrics.uncharged["credits"]) == ((3000, 0) if granted else (0, 3000))
