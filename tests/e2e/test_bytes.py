"""The bytes themselves, without an SDK's forgiveness: what the client gets and what the upstream hears."""

import gzip

import pytest

from tests.e2e.house import CREDIT, UPSTREAM_KEY, House
from tests.support.imitation import Delivery
from tests.support.rawhttp import Answer, RawClient, fetch, request
from tests.support.upstream import answers, chunk, cut, head, says

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT = b'{ "model": "gpt-4o-mini",\t"messages": [{"role":"user","content":"Hello \\u4e16\\u754c"}] }'
CHAT_STREAM = b'{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
CHAT_STREAM_USAGE = CHAT_STREAM[:-1] + b',"stream_options":{"include_usage":true}}'
CHAT_STREAM_NO_USAGE = CHAT_STREAM[:-1] + b',"stream_options":{"include_usage":false,"include_obfuscation":false}}'
RESPONSE_STREAM = b'{"model":"gpt-4o-mini","stream":true,"input":"Hello"}'
MESSAGE_STREAM = (
    b'{"model":"claude-haiku-4-5","max_tokens":99,"stream":true,"messages":[{"role":"user","content":"Hello"}]}'
)

ADDED = {b"via", b"x-credits-charged", b"x-credits-available", b"x-reservation-id"}
HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"content-length"}


async def ask(port: int, target: str, key: str, body: bytes, *fields: tuple[str, str]) -> Answer:
    always = (("Authorization", f"Bearer {key}"), ("anthropic-version", "2023-06-01"))
    return await fetch(port, "POST", target, *always, *fields, body=body)


def end_to_end(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The fields that a proxy must pass on, in their order."""
    return [(name.lower(), value) for name, value in answer.headers if name.lower() not in HOP_BY_HOP | ADDED]


REQUESTS = pytest.mark.parametrize(
    ("target", "body", "price"),
    [
        pytest.param("/v1/chat/completions", CHAT, 93, id="chat"),
        pytest.param("/v1/chat/completions", CHAT_STREAM, 93, id="chat stream, usage injected"),
        pytest.param("/v1/chat/completions", CHAT_STREAM_NO_USAGE, 93, id="chat stream, usage refused, injected"),
        pytest.param("/v1/chat/completions", CHAT_STREAM_USAGE, 93, id="chat stream, usage asked"),
        pytest.param("/v1/responses", RESPONSE_STREAM, 93, id="response stream"),
        pytest.param("/v1/messages", MESSAGE_STREAM, 228, id="message stream"),
    ],
)


@REQUESTS
@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(),
        Delivery(chunk_bytes=5, write_bytes=1000),
        Delivery(write_bytes=11),
        Delivery(chunk_bytes=200, write_bytes=3, line_end=b"\r\n"),
        Delivery(chunk_bytes=100_000),
    ],
    ids=["an event a chunk", "chunks of 5", "writes of 11", "CRLF in writes of 3", "one chunk"],
)
async def test_the_client_gets_the_upstreams_bytes(
    house: House, delivery: Delivery, target: str, body: bytes, price: int
) -> None:
    house.models.deliver(delivery)
    buyer = await house.control.buyer(CREDIT)
    direct = await ask(house.upstream.port, target, UPSTREAM_KEY, body)
    proxied = await ask(house.port, target, buyer.secret, body)
    assert proxied.body == direct.body
    assert (proxied.status, proxied.reason) == (direct.status, direct.reason)
    assert end_to_end(proxied) == end_to_end(direct)
    await house.settled(buyer, spent=price)


@REQUESTS
async def test_coded_answers_arrive_coded_unless_usage_must_be_hidden(
    house: House, target: str, body: bytes, price: int
) -> None:
    house.models.deliver(Delivery(gzip_events=True, chunk_bytes=20))
    buyer = await house.control.buyer(CREDIT)
    accept = ("Accept-Encoding", "gzip, dcb, dcz")
    direct = await ask(house.upstream.port, target, UPSTREAM_KEY, body, accept)
    proxied = await ask(house.port, target, buyer.secret, body, accept)
    if body in {CHAT_STREAM, CHAT_STREAM_NO_USAGE}:
        assert proxied.get("content-encoding") is None
        assert proxied.body == gzip.decompress(direct.body)
    else:
        assert proxied.get("content-encoding") == "gzip"
        assert proxied.body == direct.body
        # What we could not read, we do not ask for.
        accepted = house.upstream.requests[1].get(b"accept-encoding") or b""
        assert b"dcb" not in accepted
        assert b"dcz" not in accepted
    await house.settled(buyer, spent=price)


async def test_a_request_body_reaches_the_upstream_byte_for_byte(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    for body in (CHAT, CHAT_STREAM_USAGE):
        await ask(house.port, "/v1/chat/completions", buyer.secret, body)
    assert [each.body for each in house.upstream.requests] == [CHAT, CHAT_STREAM_USAGE]


async def test_a_chunked_request_body_is_read_for_its_price_and_reaches_the_upstream_whole(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    async with RawClient(house.port) as client:
        await client.send(request("POST", "/v1/chat/completions", buyer.bearer, ("Transfer-Encoding", "chunked")))
        await client.send(*(chunk(piece, b";x=y") for piece in cut(CHAT, 7)), b"0\r\nx-sum: 1\r\n\r\n")
        assert (await client.answer("POST")).status == 200
    assert house.upstream.requests[0].body == CHAT
    await house.settled(buyer, spent=93)


@pytest.mark.parametrize(
    "target",
    ["/fixed/a%20b%2Fc?q=%00&q=%2e%2e/&=", "/fixed/%7Euser/", "/fixed/a;v=1", "/fixed/?", "/fixed/%41%c3%a4"],
)
async def test_a_target_reaches_the_upstream_as_it_came(house: House, target: str) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(answers())
    assert (await fetch(house.port, "GET", target, buyer.bearer)).status == 200
    assert house.upstream.requests[0].target == target.encode()
    await house.settled(buyer, spent=CREDIT)


@pytest.mark.parametrize("target", ["/v1/chat/completions/", "/v1/ch%61t/completions", "/v1/chat/completions?beta=1"])
async def test_another_spelling_of_a_path_costs_the_same(house: House, target: str) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(answers(b'{"usage":{"prompt_tokens":10,"completion_tokens":5}}'))
    assert (await ask(house.port, target, buyer.secret, CHAT)).status == 200
    await house.settled(buyer, spent=45)


async def test_only_the_wish_for_usage_is_added_to_a_stream(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    await ask(house.port, "/v1/chat/completions", buyer.secret, CHAT_STREAM)
    heard = house.upstream.requests[0].body
    assert heard.replace(b'"stream_options":{"include_usage":true},', b"", 1) == CHAT_STREAM or (
        heard.replace(b',"stream_options":{"include_usage":true}', b"", 1) == CHAT_STREAM
    )


async def test_the_upstream_hears_its_own_credential_and_never_ours(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.script = answers(b"{}")
    spoofed = (("X-Api-Key", buyer.secret), ("X-Forwarded-For", "6.6.6.6"), ("Connection", "x-hop"), ("X-Hop", "1"))
    await ask(house.port, "/v1/chat/completions", buyer.secret, CHAT, *spoofed)
    heard = house.upstream.requests[0]
    assert heard.get(b"authorization") == f"Bearer {UPSTREAM_KEY}".encode()
    assert buyer.secret.encode() not in heard.head
    assert heard.get(b"x-hop") is None
    assert heard.get(b"x-forwarded-for") == b"127.0.0.1"
    assert heard.get(b"host") == f"127.0.0.1:{house.upstream.port}".encode()
    assert heard.get(b"anthropic-version") == b"2023-06-01"


async def test_an_answer_says_what_it_cost_and_what_is_left(house: House) -> None:
    """Headers give base units as the control API does; a stream's head goes out before its cost is known."""
    buyer = await house.control.buyer(CREDIT)
    plain = await ask(house.port, "/v1/chat/completions", buyer.secret, CHAT)
    balance = await house.settled(buyer, spent=93)
    assert plain.get("x-credits-charged") == "93"
    assert plain.get("x-credits-available") == "999907"
    assert balance.available == CREDIT - 93
    stream = await ask(house.port, "/v1/chat/completions", buyer.secret, CHAT_STREAM)
    ids = {plain.get("x-reservation-id"), stream.get("x-reservation-id")}
    assert len(ids - {None}) == 2
    assert not [name for name in ADDED if len(plain.all(name.decode())) > 1]


async def test_trailers_interim_answers_and_extensions_pass(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(
        says(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
            head(200, ("transfer-encoding", "chunked"), ("trailer", "x-sum")),
            chunk(b"part one, ", b";name=value"),
            chunk(b"part two"),
            b"0\r\nx-sum: 7\r\n\r\n",
        )
    )
    async with RawClient(house.port) as client:
        fields = (("Authorization", f"Bearer {buyer.secret}"), ("TE", "trailers"))
        await client.send(request("GET", "/fixed/a", *fields))
        answer = await client.answer()
    assert answer.informational == [103]
    assert answer.body == b"part one, part two"
    assert answer.trailers == [(b"x-sum", b"7")]
    await house.settled(buyer, spent=CREDIT)


async def test_heads_without_body_and_http_1_0_upstreams_are_charged_alike(house: House) -> None:
    buyer = await house.control.buyer(4 * CREDIT)
    key = ("Authorization", f"Bearer {buyer.secret}")
    house.upstream.once(
        says(head(200, ("content-length", "7"))),
        says(head(204)),
        says(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\n", b"until ", b"the end", then="close"),
        says(head(304, ("etag", '"a"'))),
    )
    assert (await fetch(house.port, "HEAD", "/fixed/a", key)).get("content-length") == "7"
    assert (await fetch(house.port, "DELETE", "/fixed/a", key)).status == 204
    assert (await fetch(house.port, "GET", "/fixed/a", key)).body == b"until the end"
    assert (await fetch(house.port, "GET", "/fixed/a", key)).status == 304
    # 304 is no success: nothing was delivered, nothing is charged.
    await house.settled(buyer, spent=3 * CREDIT)


async def test_pipelined_requests_are_answered_in_order_and_each_is_charged(house: House) -> None:
    buyer = await house.control.buyer(5 * CREDIT)
    house.upstream.once(*(answers(b"answer %d" % number) for number in range(3)))
    fields = ("Authorization", f"Bearer {buyer.secret}")
    async with RawClient(house.port) as client:
        await client.send(b"".join(request("GET", f"/fixed/{number}", fields) for number in range(3)))
        assert [(await client.answer()).body for _ in range(3)] == [b"answer 0", b"answer 1", b"answer 2"]
    await house.settled(buyer, spent=3 * CREDIT)
