"""What is remembered about heads never changes how one is read."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.http1.errors import ProtocolError
from sidecar.http1.heads import Head, RequestHead, ResponseHead, parse_request, parse_response
from sidecar.http1.known_heads import DRY_MAX, FIELDS_MAX, HEAD_MAX_BYTES, KNOWN_MAX, KnownHeads
from tests.http1 import writing
from tests.http1.corpus import answers, requests


def read_request(data: bytes) -> RequestHead:
    return parse_request(data, 128)


def read_answer(data: bytes) -> ResponseHead:
    return parse_response(data, b"GET", 128)


def all_of(head: Head) -> dict[str, object]:
    names = {name for kind in type(head).__mro__ for name in getattr(kind, "__slots__", ())}
    return {name: getattr(head, name) for name in names if name != "notes"}


def agree(
    known: KnownHeads[RequestHead] | KnownHeads[ResponseHead], data: bytes, parse: Callable[[bytes], Head]
) -> None:
    assert outcome(known.read, data) == outcome(parse, data)


def outcome(read: Callable[[bytes], Head], data: bytes) -> object:
    try:
        return all_of(read(data))
    except ProtocolError as error:
        return error.status, error.code, error.detail


def head_of(data: bytes) -> bytes:
    return data[: data.find(b"\r\n\r\n") + 4]


LENGTHS = [b"0", b"1", b"5", b"0005", b"+5", b"", b"5 ", b"5, 5", b"99999999999999999999", b"5\r\nContent-Length: 5"]


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length", b"CONTENT-LENGTH"])
@pytest.mark.parametrize(
    "start",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.0\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 7\r\n",
    ],
)
def test_requests_that_differ_in_their_length(start: bytes, name: bytes) -> None:
    for first in LENGTHS:
        known = KnownHeads(read_request)
        for length in (first, first, *LENGTHS):
            agree(known, b"%b%b: %b\r\n\r\n" % (start, name, length), read_request)


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"304 Not Modified", b"103 Early Hints", b"404"])
@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_answers_that_differ_in_their_length(status: bytes, more: bytes) -> None:
    """A 304 of length 0 must not teach that a 304 of length 5 has a body."""
    for first in LENGTHS:
        known = KnownHeads(read_answer)
        for length in (first, first, *LENGTHS):
            agree(known, b"HTTP/1.1 %b\r\n%bContent-Length: %b\r\n\r\n" % (status, more, length), read_answer)


def test_the_whole_corpus_through_one_memory() -> None:
    heads = [head_of(row[1]) for row in requests.CASES if b"\r\n\r\n" in row[1]]
    known = KnownHeads(read_request)
    for data in heads * 2:
        agree(known, data, read_request)
    heads = [head_of(row[2]) for row in answers.CASES if b"\r\n\r\n" in row[2]]
    known_answers = KnownHeads(read_answer)
    for data in heads * 2:
        agree(known_answers, data, read_answer)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_heads_through_one_memory(data: st.DataObject) -> None:
    known = KnownHeads(read_request)
    seen: list[bytes] = []
    for _ in range(8):
        fresh = writing.requests_with_faults()
        again = writing.faulty(st.sampled_from(seen)) if seen else fresh
        raw = data.draw(st.one_of(fresh, again))
        if b"\r\n\r\n" in raw:
            seen.append(head_of(raw))
            agree(known, head_of(raw), read_request)


def test_memory_is_bounded_and_gives_up_on_heads_that_never_repeat() -> None:
    known = KnownHeads(read_request)
    for number in range(KNOWN_MAX + DRY_MAX + 100):
        known.read(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        assert len(known._heads) <= KNOWN_MAX
    large = len(known._heads)
    known.read(b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"x" * HEAD_MAX_BYTES))
    known.read(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % b"".join(b"X%d:\r\n" % n for n in range(FIELDS_MAX)))
    assert len(known._heads) == large
    same = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(40):
        known.read(same)
    assert known.read(same) is known.read(same)
