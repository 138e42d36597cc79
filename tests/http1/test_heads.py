"""What can be asked of a head. What is accepted at all stands in the corpus."""

import pytest

from sidecar.http1.errors import ProtocolError
from sidecar.http1.heads import CHUNKED, UNTIL_CLOSE, parse_request, parse_response


def test_values_of_one_name_are_joined_and_the_lines_kept() -> None:
    head = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nX-Y:1\r\nZ: z\r\nx-y: \t2, 3 \r\nE:\r\n\r\n", 9)
    assert head.get(b"x-y") == b"1, 2, 3"
    assert head.lines[b"x-y"] == b"X-Y:1\r\nx-y: \t2, 3 "
    assert (head.get(b"e"), head.get(b"none"), head.get(b"none", b"else")) == (b"", None, b"else")
    assert b"z" in head
    assert b"Z" not in head


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive", "named"),
    [
        (b"1.1", b"", True, set()),
        (b"1.0", b"", False, set()),
        (b"1.1", b"Connection: close\r\n", False, set()),
        (b"1.1", b"connection:CLOSE\r\n", False, set()),
        (b"1.1", b"Connection: x-closed\r\n", True, {b"x-closed"}),
        (b"1.1", b"Connection: X-A, close\r\nConnection: x-b\r\n", False, {b"x-a", b"x-b"}),
        (b"1.1", b"Connection: keep-alive, close\r\n", False, set()),
        (b"1.0", b"Connection: keep-alive\r\n", True, set()),
        (b"1.0", b"Connection: Keep-Alive, X-A\r\n", True, {b"x-a"}),
        (b"1.0", b"Connection: close\r\n", False, set()),
    ],
)
def test_connection(version: bytes, lines: bytes, keep_alive: bool, named: set[bytes]) -> None:
    for head in (
        parse_request(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, lines), 9),
        parse_response(b"HTTP/%b 200 OK\r\nContent-Length: 0\r\n%b\r\n" % (version, lines), b"GET", 9),
    ):
        assert (head.keep_alive, head.named - {b""}) == (keep_alive, frozenset(named))


def test_the_number_of_fields_is_limited() -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n"
    assert parse_request(request, 2).method == b"GET"
    with pytest.raises(ProtocolError, match="more than 1 header fields") as error:
        parse_request(request, 1)
    assert error.value.status == 431
    with pytest.raises(ProtocolError, match="more than 1 header fields") as error:
        parse_response(b"HTTP/1.1 200 OK\r\nX: 1\r\nY: 2\r\n\r\n", b"GET", 1)
    assert error.value.status == 502


@pytest.mark.parametrize(
    ("method", "status", "lines", "length"),
    [
        (b"GET", 200, b"Content-Length: 7\r\n", 7),
        (b"GET", 200, b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"GET", 200, b"", UNTIL_CLOSE),
        (b"HEAD", 200, b"Content-Length: 7\r\n", 0),
        (b"HEAD", 200, b"", 0),
        (b"GET", 204, b"", 0),
        (b"GET", 304, b"Content-Length: 7\r\n", 0),
        (b"GET", 103, b"", 0),
        (b"POST", 205, b"Content-Length: 7\r\n", 7),
    ],
)
def test_the_length_of_an_answer(method: bytes, status: int, lines: bytes, length: int) -> None:
    assert parse_response(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, lines), method, 9).length == length


def test_what_a_client_sent_is_never_repeated_raw_in_an_error() -> None:
    with pytest.raises(ProtocolError) as error:
        parse_request(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer secret\r\n\r\n", 9)
    assert "secret" not in error.value.detail
