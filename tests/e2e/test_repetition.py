"""The same head again and again: nothing that was learnt from one request may leak into the next."""

import pytest

from tests.e2e.house import CREDIT, House
from tests.support.rawhttp import RawClient, request
from tests.support.upstream import Exchange, answers, chunk, head, says

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_one_head_has_a_body_or_none_by_what_was_asked(house: House) -> None:
    async def alike(exchange: Exchange) -> None:
        body = b"" if exchange.request.method == b"HEAD" else b"12345"
        await exchange.send(head(200, ("content-length", "5")) + body)

    house.upstream.script = alike
    buyer = await house.control.buyer(20 * CREDIT)
    async with RawClient(house.port) as client:
        for method in ("GET", "HEAD", "HEAD", "GET", "OPTIONS", "HEAD", "GET", "GET"):
            await client.send(request(method, "/fixed/a", buyer.bearer))
            answer = await client.answer(method)
            assert answer.get("content-length") == "5"
            assert answer.body == (b"" if method == "HEAD" else b"12345")
    await house.settled(buyer, spent=8 * CREDIT)


async def test_one_length_has_a_body_or_none_by_the_status(house: House) -> None:
    buyer = await house.control.buyer(20 * CREDIT)
    length = ("content-length", "5")
    house.upstream.once(
        *(says(head(status, length) + (b"12345" if status == 200 else b"")) for status in (304, 200, 304, 200)),
        says(head(304, ("content-length", "0"))),
        says(head(304, length)),
        says(head(200, length) + b"12345"),
        says(head(200, ("transfer-encoding", "chunked")), chunk(b"abc"), chunk(b"")),
        says(head(304, ("transfer-encoding", "chunked"))),
        says(head(200, ("transfer-encoding", "chunked")), chunk(b"def"), chunk(b"")),
    )
    bodies = []
    async with RawClient(house.port) as client:
        for _ in range(10):
            await client.send(request("GET", "/fixed/a", buyer.bearer))
            bodies.append((await client.answer()).body)
    assert bodies == [b"", b"12345", b"", b"12345", b"", b"", b"12345", b"abc", b"", b"def"]
    await house.settled(buyer, spent=5 * CREDIT)


async def test_one_head_loses_its_cost_only_where_the_rule_reads_it(house: House) -> None:
    house.upstream.script = answers(b"picture", ("x-gpu-ms", "1000"))
    buyer = await house.control.buyer(20 * CREDIT)
    ids = set()
    async with RawClient(house.port) as client:
        for target, shown in [("/render/a", None), ("/fixed/a", "1000"), ("/render/a", None), ("/fixed/a", "1000")]:
            await client.send(request("POST", target, buyer.bearer, body=b"draw"))
            answer = await client.answer("POST")
            assert (answer.get("x-gpu-ms"), answer.body) == (shown, b"picture")
            ids.add(answer.get("x-reservation-id"))
    assert len(ids) == 4
    await house.settled(buyer, spent=2 * CREDIT + 2 * 12_000)


async def test_one_head_with_another_body_has_another_price(house: House) -> None:
    """Requests whose heads and lengths are the same: the bodies decide."""
    buyer = await house.control.buyer(CREDIT)
    spent = 0
    async with RawClient(house.port) as client:
        for model, words in [("gpt-4o-mini", 11), ("gpt-4o-mini", 22), ("gpt-unknown", 22), ("gpt-4o-mini", 11)]:
            body = b'{"model":"%s","messages":[{"role":"user","content":"count %d"}]}' % (model.encode(), words)
            await client.send(request("POST", "/v1/chat/completions", buyer.bearer, body=body))
            answer = await client.answer("POST")
            assert answer.status == (200 if model == "gpt-4o-mini" else 403)
            spent += 9 + 6 * words if answer.status == 200 else 0
            await house.settled(buyer, spent=spent)


async def test_one_head_pays_from_another_purse_for_another_key(house: House) -> None:
    house.upstream.script = answers()
    rich, poor = await house.control.buyer(3 * CREDIT), await house.control.buyer(CREDIT)
    async with RawClient(house.port) as client:
        statuses = []
        for buyer in (rich, poor, rich, poor, rich, rich):
            await client.send(request("GET", "/fixed/a", buyer.bearer))
            statuses.append((await client.answer()).status)
    assert statuses == [200, 200, 200, 402, 200, 402]
    await house.settled(rich, spent=3 * CREDIT)
    await house.settled(poor, spent=CREDIT)


async def test_a_connection_header_is_heeded_each_time(house: House) -> None:
    """A field that `Connection` names in one request passes in the next one that does not."""
    house.upstream.script = answers()
    buyer = await house.control.buyer(9 * CREDIT)
    async with RawClient(house.port) as client:
        for names in (["x-a"], [], ["x-a"], ["x-b"], []):
            connection = [("Connection", ", ".join(names))] if names else []
            fields = (buyer.bearer, ("X-A", "1"), ("X-B", "2"), *connection)
            await client.send(request("GET", "/fixed/a", *fields))
            assert (await client.answer()).status == 200
    heard = [tuple(bool(each.get(name)) for name in (b"x-a", b"x-b")) for each in house.upstream.requests]
    assert heard == [(False, True), (True, True), (False, True), (True, False), (True, True)]
