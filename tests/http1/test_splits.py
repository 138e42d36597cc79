"""Reads may bring bytes in any pieces, and requests in any company: neither changes what anybody is told."""

import asyncio
from collections.abc import Iterator

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.http1.bodies import encode_chunk, encode_end
from sidecar.http1.engine import Limits
from sidecar.http1.fields import RequestPolicy
from tests.http1 import writing
from tests.http1.corpus import answers, requests
from tests.http1.memory import Memory, Upstream, turn
from tests.http1.peers import Reading, Refused, by_aiohttp, by_h11

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
Answer = tuple[int, tuple[tuple[bytes, bytes], ...], bytes]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def describe(request: h11.Request, body: bytes) -> list[bytes]:
    """An answer that says what arrived, framed in a way that depends on it."""
    said = b"%b %b %b" % (request.method, request.target, body)
    if request.method == b"HEAD":
        return [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"]
    if len(said) % 2:
        return [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)]
    return [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + encode_chunk(said) + encode_end([(b"X", b"1")])
    ]


class Told:
    """What both sides were told: the answers to the client, the messages to the upstream."""

    def __init__(self, written: bytes, methods: list[str], connections: list[bytes]) -> None:
        self.answers: list[Answer] = []
        while written:
            method = methods[len(self.answers)] if len(self.answers) < len(methods) else "GET"
            (reading,), written = by_h11(written, method=method, eof=True)
            status = int(reading.start[0])
            self.answers.append((status, (), reading.body if status < 400 else b""))
        self.messages: list[tuple[tuple[bytes, ...], bytes]] = []
        for connection in connections:
            self.messages += [(reading.start, reading.body) for reading in one_reading(connection)]
        self.messages.sort()


def one_reading(connection: bytes) -> list[Reading]:
    """What went upstream must be whole messages, and the same ones for everybody."""
    readings, rest = by_h11(connection)
    if readings and readings[-1].complete:
        assert rest == b""
        for python in (False, True):
            others = by_aiohttp(connection, python=python)
            assert [(one.start, one.body, one.complete) for one in others] == [
                (one.start, one.body, one.complete) for one in readings
            ]
    return [reading for reading in readings if reading.complete]


async def play(pieces: list[bytes], methods: list[str] | None = None) -> Told:
    upstream = Upstream(describe)
    memory = Memory(upstream=upstream, policy=RequestPolicy(host=b"upstream.test"))
    written = await memory.feed(pieces)
    await memory.close()
    return Told(written, methods or [], upstream.connections)


def method_of(data: bytes) -> str:
    word = data.lstrip(b"\r\n").partition(b" ")[0]
    return word.decode() if word in (b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH") else "GET"


@QUICK
@given(data=st.data())
def test_any_split_of_a_request(runner: asyncio.Runner, data: st.DataObject) -> None:
    raw = data.draw(st.one_of(writing.requests_with_faults(), st.sampled_from([row[1] for row in requests.CASES])))
    if len(raw) > 5000:
        raw = raw[:5000]
    methods = [method_of(raw)]
    whole = runner.run(play([raw], methods))
    split = runner.run(play(data.draw(writing.splits(raw)), methods))
    bytewise = runner.run(
        play([raw[index : index + 1] for index in range(min(len(raw), 400))] + [raw[400:]], methods)
    )
    for told in (split, bytewise):
        assert told.answers == whole.answers
        assert told.messages == whole.messages


@QUICK
@given(data=st.data())
def test_any_split_of_an_answer(runner: asyncio.Runner, data: st.DataObject) -> None:
    method = data.draw(st.sampled_from(["GET", "HEAD"]))
    cases = st.sampled_from([row[2] for row in answers.CASES if row[1] == method])
    raw = data.draw(st.one_of(writing.answers_with_faults(), cases))
    pieces = data.draw(writing.splits(raw))
    whole = runner.run(answered(method, [raw]))
    assert runner.run(answered(method, pieces)) == whole
    assert runner.run(answered(method, [raw[index : index + 1] for index in range(len(raw))])) == whole


async def answered(method: str, pieces: list[bytes]) -> object:
    """What a client reads when the upstream's answer comes in `pieces` and its connection then ends."""
    memory = Memory(upstream=Upstream(lambda *_: [*(piece for piece in pieces if piece), b""]))
    written = await memory.feed([b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode()])
    await turn(len(pieces) * 2)
    written = memory.transport.written
    await memory.close()
    return read_or_cut(written, method)


def read_or_cut(written: bytes, method: str) -> object:
    try:
        (reading,), _ = by_h11(written, method=method, eof=True)
    except Refused:
        return "broken"
    if reading.start == (b"502",):
        # The head had not gone out when it broke, so there is an answer instead of a cut.
        return "broken"
    return reading.start, reading.fields, reading.body


@QUICK
@given(data=st.data())
def test_pipelined_requests_are_answered_as_one_by_one(runner: asyncio.Runner, data: st.DataObject) -> None:
    raws = data.draw(st.lists(writing.requests(), min_size=1, max_size=5))
    methods = [method_of(raw) for raw in raws]
    together = runner.run(play(data.draw(writing.splits(b"".join(raws))), methods))
    answered: list[Answer] = []
    messages = []
    for raw, method in zip(raws, methods, strict=True):
        alone = runner.run(play([raw], [method]))
        answered += alone.answers
        messages += alone.messages
        if b"close" in raw or b"HTTP/1.0" in raw or alone.answers[0][0] >= 400:
            break
    assert together.answers[: len(answered)] == answered
    assert together.messages == sorted(messages) or len(together.answers) > len(answered)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 10_000])
@pytest.mark.parametrize(("over", "statuses"), [(0, (200, 200)), (1, (414, 431))])
def test_limits_are_exact_in_any_pieces(
    runner: asyncio.Runner, over: int, statuses: tuple[int, int], size: int
) -> None:
    line = b"GET /%b HTTP/1.1" % (b"a" * (256 - 14 + over))
    start = b"GET / HTTP/1.1\r\nHost: a\r\nX: "
    head = start + b"x" * (1024 - len(start) + over)
    for raw, status in zip((line + b"\r\nHost: a\r\n\r\n", head + b"\r\n\r\n"), statuses, strict=True):
        assert runner.run(status_of([raw[at : at + size] for at in range(0, len(raw), size)])) == status


async def status_of(pieces: list[bytes]) -> int:
    limits = Limits(request_line_max_bytes=256, head_max_bytes=1024)
    memory = Memory(upstream=Upstream(describe), limits=limits)
    written = await memory.feed(pieces)
    await memory.close()
    return int(written[9:12])
