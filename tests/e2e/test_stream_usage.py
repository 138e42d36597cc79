"""Usage as servers report it in streams, well or badly: the bytes pass unchanged, the charge is what was said."""

import pytest

from tests.e2e.house import CREDIT, House, chat_estimate
from tests.support.rawhttp import fetch
from tests.support.upstream import Exchange, chunk, cut, head

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASKED = (
    b'{"model":"gpt-4o-mini","stream":true,"max_tokens":100,"stream_options":{"include_usage":true},"messages":[]}'
)
NOT_ASKED = ASKED.replace(b'"stream_options":{"include_usage":true},', b"")
ESTIMATE = chat_estimate(ASKED, b"Hi")

TEXT = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
TEXT_NULL = b'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\n'  # 10 x 1.5 + 5 x 6 = 45
EARLIER = b'data: {"choices":[{"delta":{"content":"Hi"}}],"usage":{"prompt_tokens":10,"completion_tokens":1}}\n\n'
LAST = b'data: {"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\n'
NOTHING = b'data: {"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}\n\n'
DONE = b"data: [DONE]\n\n"


async def stream(house: House, sent: bytes, piece: int | None, asked: bytes) -> tuple[bytes, int]:
    """What a client gets when the upstream streams `sent`, and what the customer has paid."""

    async def script(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(head(200, ("content-type", "text/event-stream"), ("transfer-encoding", "chunked")))
        await exchange.send(*map(chunk, cut(sent, piece)), chunk(b""))

    buyer = await house.control.buyer(CREDIT)
    house.upstream.once(script)
    answer = await fetch(house.port, "POST", "/v1/chat/completions", buyer.bearer, body=asked)
    assert answer.status == 200
    spent = (await house.control.balance(buyer)).spent
    await house.settled(buyer, spent=spent)
    return answer.body, spent


@pytest.mark.parametrize("piece", [None, 1, 13], ids=["at once", "byte by byte", "thirteen bytes at a time"])
@pytest.mark.parametrize(
    ("sent", "price"),
    [
        pytest.param(TEXT_NULL + USAGE + DONE, 45, id="as OpenAI does"),
        pytest.param(TEXT + USAGE, 45, id="no [DONE]"),
        pytest.param(TEXT + USAGE.rstrip(b"\n"), 45, id="no blank line at the end"),
        pytest.param(TEXT + LAST + DONE, 45, id="in a chunk with choices"),
        pytest.param(EARLIER + EARLIER + LAST + DONE, 45, id="in every chunk, cumulative"),
        pytest.param(EARLIER + USAGE + DONE, 45, id="an earlier one is replaced"),
        pytest.param((TEXT + USAGE + DONE).replace(b"\n", b"\r\n"), 45, id="CRLF"),
        pytest.param((TEXT + USAGE + DONE).replace(b"\n", b"\r"), 45, id="CR"),
        pytest.param(b": hello\n\n" + TEXT + b": keep-alive\n\n\n" + USAGE + DONE, 45, id="comments"),
        pytest.param(b"id: 1\nevent: chunk\nretry: 9\n" + TEXT + b"id: 2\n" + USAGE + DONE, 45, id="other fields"),
        pytest.param(TEXT + USAGE.replace(b'"usage"', b'\ndata: "usage"') + DONE, 45, id="data on two lines"),
        pytest.param(TEXT + NOTHING + DONE, 0, id="a reported 0 is free"),
        pytest.param(TEXT + DONE, ESTIMATE, id="nothing reported: an estimate"),
        pytest.param(TEXT + USAGE.replace(b"10", b"-10") + DONE, ESTIMATE, id="negative: an estimate"),
        pytest.param(TEXT + USAGE.replace(b"10", b"1e400") + DONE, ESTIMATE, id="infinite: an estimate"),
        pytest.param(TEXT + b"data: {not json\n\n" + USAGE + DONE, 45, id="an event that is no JSON"),
    ],
)
async def test_usage_that_the_client_asked_for(house: House, sent: bytes, price: int, piece: int | None) -> None:
    assert await stream(house, sent, piece, ASKED) == (sent, price)


@pytest.mark.parametrize("piece", [None, 1, 13], ids=["at once", "byte by byte", "thirteen bytes at a time"])
@pytest.mark.parametrize(
    ("sent", "shown", "price"),
    [
        pytest.param(TEXT_NULL + USAGE + DONE, TEXT + DONE, 45, id="as OpenAI does"),
        pytest.param(TEXT + USAGE, TEXT, 45, id="no [DONE]"),
        pytest.param(TEXT + USAGE.rstrip(b"\n"), TEXT, 45, id="no blank line at the end"),
        pytest.param(TEXT + LAST + DONE, TEXT + LAST + DONE, 45, id="in a chunk with choices, which is not ours"),
        pytest.param((TEXT_NULL + USAGE + DONE).replace(b"\n", b"\r\n"), (TEXT + DONE).replace(b"\n", b"\r\n"), 45,
                     id="CRLF"),
        pytest.param(b": hello\n\n" + TEXT + USAGE + DONE, b": hello\n\n" + TEXT + DONE, 45, id="comments"),
        pytest.param(TEXT + DONE, TEXT + DONE, chat_estimate(NOT_ASKED, b"Hi"), id="a server that never says it"),
    ],
)  # fmt: skip
async def test_usage_that_only_the_proxy_asked_for(
    house: House, sent: bytes, shown: bytes, price: int, piece: int | None
) -> None:
    assert await stream(house, sent, piece, NOT_ASKED) == (shown, price)
