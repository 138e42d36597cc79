"""Two readings of one message are how requests are smuggled: what we accept, others must read in the same way.

Others are h11 and both of aiohttp's parsers. `EXCEPTIONS` lists where they may differ from us, and why that is safe.
What they accept and we refuse is fine; `corpus.stricter` is the list of such classes.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.http1.heads import UNTIL_CLOSE, parse_request, parse_response
from tests.http1.corpus import answers, requests
from tests.http1.corpus.requests import NEXT, Says, Takes
from tests.http1.corpus.stricter import STRICTER
from tests.http1.peers import Reading, Refused, by_aiohttp, by_h11, ours, ours_answer
from tests.http1.writing import answers_with_faults, requests_with_faults

Peer = Callable[[bytes], list[Reading]]

PEERS: dict[str, Peer] = {
    "h11": lambda data: by_h11(data)[0],
    "aiohttp in C": lambda data: by_aiohttp(data, python=False),
    "aiohttp in Python": lambda data: by_aiohttp(data, python=True),
}

EXCEPTIONS: dict[tuple[str, str], str] = {
    (
        "aiohttp in C",
        "Duplicate 'Host' header",
    ): "It takes a trailer for a part of the head; we let none called Host go on.",
}
"""(peer, a piece of its complaint) → why we take what it refuses."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """A loop for aiohttp's parsers, kept over all examples."""
    with asyncio.Runner() as runner:
        yield runner


def heard(peer: str, read: Callable[[], list[Reading]], message: bytes) -> list[Reading] | None:
    """What a peer reads; None where it may refuse."""
    try:
        return read()
    except Refused as complaint:
        if any(peer == name and piece in str(complaint) for name, piece in EXCEPTIONS):
            return None
        pytest.fail(f"{peer} refuses {message!r}: {complaint}")


def agree_on_request(data: bytes) -> bool | None:
    """Whether we take the request at the start of `data`; None: it is not whole.

    AssertionError where others read it in another way.
    """
    while data.startswith(b"\r\n"):
        data = data[2:]
    try:
        mine, rest = ours(data)
    except Refused:
        return False
    if not mine.complete:
        return None
    message = data[: len(data) - len(rest)]
    head = parse_request(message[: message.index(b"\r\n\r\n") + 4], 128)
    stays = head.keep_alive and not head.http_1_0
    for name, peer in PEERS.items():
        readings = heard(name, partial(peer, message + NEXT if stays else message), message)
        if readings is None:
            continue
        assert len(readings) == 1 + stays, (name, message, readings)
        assert in_origin_form(readings[0], mine) == mine, name
        if stays:
            assert readings[1].start == (b"GET", b"/next"), name
    return True


def in_origin_form(reading: Reading, mine: Reading) -> Reading:
    """An absolute target and its host are one thing, read by us in one more step."""
    method, target = reading.start
    if b"://" in target and not target.startswith(b"/"):
        path = b"/" + target.partition(b"://")[2].partition(b"/")[2]
        assert mine.start[1] in {path, b"*", b"/?" + target.partition(b"?")[2]}
        target = mine.start[1]
    return Reading(start=(method, target), fields=reading.fields, body=reading.body, complete=reading.complete)


async def in_loop(check: Callable[..., object], *arguments: object) -> object:
    return check(*arguments)


@pytest.mark.parametrize(("data", "verdict"), [pytest.param(*row[1:], id=row[0]) for row in requests.CASES])
def test_the_corpus_of_requests(runner: asyncio.Runner, data: bytes, verdict: requests.Verdict) -> None:
    taken = runner.run(in_loop(agree_on_request, data))
    assert taken is True or not isinstance(verdict, Takes)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=requests_with_faults())
def test_any_request(runner: asyncio.Runner, data: bytes) -> None:
    runner.run(in_loop(agree_on_request, data))


def takes(read: Peer, data: bytes) -> bool:
    try:
        readings = read(data)
    except (Refused, h11.LocalProtocolError):  # h11 cannot go on after CONNECT.
        return False
    return bool(readings) and readings[0].complete


def test_what_we_refuse_and_others_take_is_known(runner: asyncio.Runner) -> None:
    refused = {name: data for name, data, verdict in requests.CASES if isinstance(verdict, Says)}
    listed = [name for names in STRICTER.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) <= refused.keys()
    taken = {
        name
        for name, data in refused.items()
        if any(runner.run(in_loop(takes, read, data)) for read in PEERS.values())
    }
    assert taken <= set(listed)


ANSWER_PEERS: dict[str, Callable[[bytes, str, bool], list[Reading]]] = {
    "h11": lambda data, method, eof: by_h11(data, method=method, eof=eof)[0],
    "aiohttp in C": lambda data, method, eof: by_aiohttp(data, python=False, method=method, eof=eof),
    "aiohttp in Python": lambda data, method, eof: by_aiohttp(data, python=True, method=method, eof=eof),
}


def agree_on_answer(method: str, data: bytes) -> bool | None:
    """The same for an answer."""
    try:
        mine, rest = ours_answer(data, method.encode())
    except Refused:
        return False
    until_close = _until_close(data, method)
    if not mine.complete and not until_close:
        return None
    message = data[: len(data) - len(rest)]
    for name, peer in ANSWER_PEERS.items():
        readings = heard(name, partial(peer, message, method, until_close), message)
        if readings is None:
            continue
        assert len(readings) == 1, (name, message, readings)
        expected = Reading(start=mine.start, fields=mine.fields, body=mine.body, complete=True)
        assert readings[0] == expected, name
    return True


def _until_close(data: bytes, method: str) -> bool:
    while True:
        end = data.index(b"\r\n\r\n") + 4
        head = parse_response(data[:end], method.encode(), 128)
        if head.status >= 200:
            return head.length == UNTIL_CLOSE
        data = data[end:]


@pytest.mark.parametrize(("method", "data", "verdict"), [pytest.param(*row[1:], id=row[0]) for row in answers.CASES])
def test_the_corpus_of_answers(runner: asyncio.Runner, method: str, data: bytes, verdict: answers.Verdict) -> None:
    taken = runner.run(in_loop(agree_on_answer, method, data))
    assert taken is True or not isinstance(verdict, answers.Passes)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(method=st.sampled_from(["GET", "HEAD"]), data=answers_with_faults())
def test_any_answer(runner: asyncio.Runner, method: str, data: bytes) -> None:
    runner.run(in_loop(agree_on_answer, method, data))
