"""Many clients on few upstream connections, some of which leave in the middle: each gets its own answer."""

import asyncio
import random

import pytest

from tests.e2e.house import CREDIT, House
from tests.support.buyers import Buyer
from tests.support.imitation import Delivery
from tests.support.rawhttp import Answer, RawClient, request
from tests.support.upstream import head, says

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIENTS = 40
ROUNDS = 5


def chat(number: int, *, stream: bool) -> bytes:
    """A request whose answer has `number` tokens: the numbers from 0 on."""
    mode = b'"stream":true,' if stream else b""
    return b'{"model":"gpt-4o-mini",%b"messages":[{"role":"user","content":"count %d"}]}' % (mode, number)


def content(answer: Answer) -> list[int]:
    """The numbers in an answer, whatever its form."""
    text = answer.body.decode()
    pieces = text.split('"content":"')[1:] if text.startswith("data:") else text.split('"content": "')[1:]
    return [int(number) for piece in pieces for number in piece.split('"')[0].split()]


async def client(house: House, buyer: Buyer, seed: int) -> int:
    """Ask `ROUNDS` times, leaving some answers unread; returns how many tokens were certainly paid for."""
    chance = random.Random(seed)
    paid = 0
    for _ in range(ROUNDS):
        async with RawClient(house.port) as connection:
            for _ in range(2):
                number = chance.randrange(1, 60)
                body = chat(number, stream=chance.random() < 0.7)
                await connection.send(request("POST", "/v1/chat/completions", buyer.bearer, body=body))
                if chance.random() < 0.2:
                    await connection.receive(until=b"\r\n")
                    break
                answer = await connection.answer("POST")
                assert answer.status == 200
                assert content(answer) == list(range(number))
                paid += number
    return paid


async def test_nobody_gets_anothers_answer(house: House) -> None:
    house.models.deliver(Delivery(chunk_bytes=700, write_bytes=300))
    buyer = await house.control.buyer(100 * CREDIT)
    paid = await asyncio.gather(*(client(house, buyer, seed) for seed in range(CLIENTS)))
    balance = await house.settled_later(buyer)
    # At 6 base units a token of output, and more for what was left unread.
    assert balance.spent > 6 * sum(paid)


async def test_an_answer_too_much_never_reaches_the_next_request(house: House) -> None:
    """Response splitting: bytes after the end of an answer belong to nobody."""
    buyer = await house.control.buyer(100 * CREDIT)
    answer = head(200, ("content-length", "5")) + b"first"
    for smuggled in (head(200, ("content-length", "8")) + b"smuggled", b"garbage", b"\r\n"):
        for pieces in ((answer + smuggled,), (answer, smuggled)):
            house.upstream.once(says(*pieces))
            async with RawClient(house.port) as connection:
                await connection.send(request("GET", "/fixed/a", buyer.bearer))
                assert (await connection.answer()).body == b"first"
                body = chat(3, stream=False)
                await connection.send(request("POST", "/v1/chat/completions", buyer.bearer, body=body))
                assert content(await connection.answer("POST")) == [0, 1, 2]
    await house.settled(buyer, spent=6 * (CREDIT + 27))  # 6 x 1.5 + 3 x 6
