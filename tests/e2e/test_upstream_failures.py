"""Every way an upstream can fail: nothing is charged, nothing stays held, and the client is told honestly."""

from collections.abc import AsyncIterator

import h11
import pytest
import pytest_asyncio

from tests.e2e.house import CREDIT, House, Models, chat_estimate, sidecar
from tests.support.imitation import Delivery
from tests.support.process import Sidecar, refusing_port
from tests.support.rawhttp import RawClient, fetch, request
from tests.support.upstream import Exchange, Gate, Script, Upstream, answers, chunk, head, says

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT_STREAM = b'{"model":"gpt-4o-mini","stream":true,"max_tokens":100,"messages":[{"role":"user","content":"Hello"}]}'
CHAT = CHAT_STREAM.replace(b'"stream":true,', b"")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        pytest.param(says(then="reset"), 502, id="reset before the head"),
        pytest.param(says(then="close"), 502, id="closed before the head"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\ncontent-le", then="close"), 502, id="half a head"),
        pytest.param(says(b"SSH-2.0-OpenSSH_9.6\r\n", then="close"), 502, id="no HTTP"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", then="close"), 502, id="a header without colon"),
        pytest.param(
            says(head(200, ("content-length", "1"), ("content-length", "2")) + b"ab"), 502, id="two lengths"
        ),
        pytest.param(
            says(head(200, ("content-length", "5"), ("transfer-encoding", "chunked")) + b"0\r\n\r\n"),
            502,
            id="length and chunks",
        ),
        pytest.param(says(head(200, ("x-long", "a" * 70_000))), 502, id="a head over the limit"),
        pytest.param(says(head(101, ("upgrade", "x"))), 502, id="an upgrade nobody asked for"),
    ],
)
async def test_an_upstream_that_fails_before_its_head_costs_nothing(
    house: House, script: Script, status: int
) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(script)
    answer = await fetch(house.port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT)
    assert answer.status == status
    assert answer.get("x-sidecar-refusal") in {"upstream_broken", "upstream_unreachable"}
    assert isinstance(answer.json()["error"], dict)
    assert len(house.upstream.requests) == 1, "a POST is never sent twice"
    await house.settled(buyer, spent=0)


CHUNKED = head(200, ("transfer-encoding", "chunked"))
EVENTS = head(200, ("content-type", "text/event-stream"), ("transfer-encoding", "chunked"))


@pytest.mark.parametrize("ending", ["close", "reset"])
@pytest.mark.parametrize(
    ("start", "rest"),
    [
        pytest.param(CHUNKED + chunk(b"data: {}\n\n"), b"", id="between chunks"),
        pytest.param(CHUNKED + b"a0\r\ndata: {}\n\n", b"data", id="in a chunk"),
        pytest.param(CHUNKED + chunk(b"data: {}\n\n"), b"zz\r\n", id="no chunk size"),
        pytest.param(EVENTS + chunk(b"data: {}\n\n"), b"", id="in a stream of events"),
        pytest.param(head(200, ("content-length", "99")) + b"data: {}\n\n", b"more", id="short of its length"),
    ],
)
async def test_an_upstream_that_fails_in_its_body_is_passed_on_as_a_failure(
    house: House, start: bytes, rest: bytes, ending: str
) -> None:
    gate = Gate()

    async def breaks(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(start)
        await gate.pause()
        await exchange.send(rest)
        if ending == "reset":
            exchange.reset()
        else:
            exchange.close()

    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(breaks)
    async with RawClient(house.port) as client:
        await client.send(request("POST", "/v1/chat/completions", buyer.bearer, body=CHAT_STREAM))
        await client.receive(until=b"data: {}\n\n")
        gate.open()
        # Neither a proper end nor a refusal in the middle of a body: the client must see that it is not whole.
        left = await client.ended()
    assert not left.endswith(b"0\r\n\r\n")
    assert b"HTTP/1.1" not in left
    balance = await house.settled_later(buyer)
    assert balance.spent == 0


async def test_a_stream_that_reports_an_error_costs_nothing(house: House) -> None:
    buyer = await house.control.buyer(CREDIT)
    body = b'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n'
    house.upstream.once(answers(body, ("content-type", "text/event-stream")))
    answer = await fetch(house.port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT_STREAM)
    assert answer.body == body
    await house.settled(buyer, spent=0)


@pytest.mark.parametrize(
    ("body", "text"),
    [(b"{}", b""), (b'{"usage":{"prompt_tokens":-5}}', b""), (b"not json", b"not json"), (b'{"usage":null}', b"")],
)
async def test_an_answer_without_readable_usage_is_estimated(house: House, body: bytes, text: bytes) -> None:
    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(answers(body, ("content-type", "application/json")))
    answer = await fetch(house.port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT)
    assert answer.body == body
    await house.settled(buyer, spent=chat_estimate(CHAT, text))


async def test_an_early_answer_ends_the_request_and_is_charged(house: House) -> None:
    """The upstream answers before it has read the body; the client gets the answer, though it still sends."""
    buyer = await house.control.buyer(CREDIT)

    async def early(exchange: Exchange) -> None:
        await exchange.send(head(200, ("content-length", "5"), ("connection", "close")) + b"early")
        exchange.close()

    house.upstream.once(early)
    async with RawClient(house.port) as client:
        await client.send(request("POST", "/fixed/a", buyer.bearer, ("Content-Length", "90000")) + b"first part")
        answer = await client.answer("POST")
    assert (answer.status, answer.body) == (200, b"early")
    balance = await house.settled_later(buyer)
    assert balance.spent == CREDIT


async def test_a_keep_alive_connection_that_the_upstream_has_closed_is_not_used(house: House) -> None:
    async with (
        Upstream(Models(), requests_per_connection=2) as upstream,
        sidecar(upstream=upstream.url, store=house.store.url) as other,
    ):
        buyer = await house.control.buyer(CREDIT)
        for _ in range(5):
            answer = await fetch(other.proxy_port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT)
            assert answer.status == 200
        await house.settled(buyer, spent=5 * 93)
        assert len(upstream.requests) == 5


@pytest.mark.parametrize(
    ("method", "status", "copies", "price"),
    [pytest.param("POST", 502, 2, 1, id="not sent again"), pytest.param("GET", 200, 3, 2, id="sent once more")],
)
async def test_a_connection_that_breaks_under_its_second_request(
    house: House, method: str, status: int, copies: int, price: int
) -> None:
    """The upstream had given the connection up as the request came: nobody knows whether it was heard."""
    house.upstream.once(answers(), says(then="reset"), answers(b"again"))
    buyer = await house.control.buyer(5 * CREDIT)
    body = b"work" if method == "POST" else None
    assert (await fetch(house.port, method, "/fixed/a", buyer.bearer, body=body)).status == 200
    answer = await fetch(house.port, method, "/fixed/a", buyer.bearer, body=body)
    assert answer.status == status
    assert len(house.upstream.requests) == copies
    assert house.upstream.requests[1].connection == house.upstream.requests[0].connection
    await house.settled(buyer, spent=price * CREDIT)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient(whole_house: House) -> AsyncIterator[Sidecar]:
    """A second process on the same store and upstream, with short limits of time."""
    async with sidecar(
        upstream=whole_house.upstream.url, store=whole_house.store.url, timeouts__head_s="0.3", timeouts__idle_s="0.3"
    ) as running:
        yield running


async def test_an_upstream_that_says_nothing_is_504(house: House, impatient: Sidecar) -> None:
    gate = Gate()

    async def silent(exchange: Exchange) -> None:
        await exchange.body()
        await gate.pause()

    house.upstream.once(silent)
    buyer = await house.control.buyer(CREDIT)
    answer = await fetch(impatient.proxy_port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT)
    assert (answer.status, answer.get("x-sidecar-refusal")) == (504, "upstream_timed_out")
    await house.settled(buyer, spent=0)
    gate.open()


async def test_a_stream_that_stops_is_cut(house: House, impatient: Sidecar) -> None:
    gate = Gate()
    house.models.deliver(Delivery(gate=gate))
    buyer = await house.control.buyer(CREDIT)
    async with RawClient(impatient.proxy_port) as client:
        await client.send(request("POST", "/v1/chat/completions", buyer.bearer, body=CHAT_STREAM))
        with pytest.raises((h11.RemoteProtocolError, ConnectionResetError)):
            await client.answer("POST")
    balance = await house.settled_later(buyer)
    assert balance.spent == chat_estimate(CHAT_STREAM, b"Bonjour, ")
    gate.open()


async def test_an_upstream_that_is_not_there_is_502(house: House) -> None:
    with refusing_port() as port:
        async with sidecar(upstream=f"http://127.0.0.1:{port}", store=house.store.url) as other:
            assert f"127.0.0.1:{port}" in other.output
            buyer = await house.control.buyer(CREDIT)
            answer = await fetch(other.proxy_port, "POST", "/v1/chat/completions", buyer.bearer, body=CHAT)
            assert (answer.status, answer.get("x-sidecar-refusal")) == (502, "upstream_unreachable")
            await house.settled(buyer, spent=0)
