"""Answers of an upstream and what must become of each: one table, to which every new trick is added as a row.

A row is (name, method of the request, bytes, verdict); the connection ends after the bytes. A verdict is `Passes`
(the client gets this status, body and trailers; `reusable` says whether the connection may carry another request)
or `BREAKS`: 502, or a cut when the head had gone out.
"""

import msgspec


class Passes(msgspec.Struct, frozen=True):
    status: int = 200
    body: bytes = b""
    reusable: bool = True
    informational: tuple[int, ...] = ()


class Breaks(msgspec.Struct, frozen=True):
    pass


BREAKS = Breaks()
Verdict = Passes | Breaks
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def ok(*lines: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return start + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def sized(body: bytes = b"abc", *lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return ok(b"Content-Length: %d" % len(body), *lines, body=body, start=start)


def chunked(body: bytes) -> bytes:
    return ok(b"Transfer-Encoding: chunked", body=body)


ABC = Passes(body=b"abc")
OPEN = Passes(body=b"abc", reusable=False)

CASES: list[tuple[str, str, bytes, Verdict]] = [
    ("a length", "GET", sized(), ABC),
    ("an empty answer", "GET", sized(b""), Passes()),
    ("chunks", "GET", chunked(CHUNKS), ABC),
    ("until the end", "GET", ok(body=b"abc"), OPEN),
    ("until the end, 1.0", "GET", ok(body=b"abc", start=b"HTTP/1.0 200 OK"), OPEN),
    ("1.0 with a length", "GET", sized(start=b"HTTP/1.0 200 OK"), OPEN),
    ("1.0 that stays", "GET", sized(b"abc", b"Connection: keep-alive", start=b"HTTP/1.0 200 OK"), ABC),
    ("close", "GET", sized(b"abc", b"Connection: close"), OPEN),
    ("leading zeros", "GET", ok(b"Content-Length: 0003", body=b"abc"), ABC),
    ("no reason", "GET", sized(start=b"HTTP/1.1 200 "), ABC),
    ("no reason and no space", "GET", sized(start=b"HTTP/1.1 200"), ABC),
    ("a reason with high bytes", "GET", sized(start=b"HTTP/1.1 200 D\xe9j\xe0"), ABC),
    ("an odd status", "GET", sized(start=b"HTTP/1.1 599 Odd"), Passes(599, b"abc")),
    ("odd case", "GET", ok(b"cOnTeNt-LeNgTh: 3", body=b"abc"), ABC),
    ("head with a length", "HEAD", ok(b"Content-Length: 3"), Passes()),
    ("head with chunks", "HEAD", ok(b"Transfer-Encoding: chunked"), Passes()),
    ("head with nothing", "HEAD", ok(), Passes()),
    ("head with a body", "HEAD", sized(), Passes(reusable=False)),
    ("204", "GET", ok(start=b"HTTP/1.1 204 No Content"), Passes(204)),
    ("204 with a body", "GET", sized(start=b"HTTP/1.1 204 No Content"), Passes(204, reusable=False)),
    (
        "204 with chunks",
        "GET",
        ok(b"Transfer-Encoding: chunked", start=b"HTTP/1.1 204 No Content"),
        Passes(204, reusable=False),
    ),
    ("304 with a length", "GET", ok(b"Content-Length: 3", start=b"HTTP/1.1 304 Not Modified"), Passes(304)),
    ("304 with a body", "GET", sized(start=b"HTTP/1.1 304 Not Modified"), Passes(304, reusable=False)),
    (
        "103, then an answer",
        "GET",
        ok(b"Link: </a>", start=b"HTTP/1.1 103 Early Hints") + sized(),
        Passes(body=b"abc", informational=(103,)),
    ),
    (
        "100 and 102",
        "GET",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + sized(),
        Passes(body=b"abc", informational=(100, 102)),
    ),
    (
        "1xx with a length",
        "GET",
        ok(b"Content-Length: 3", start=b"HTTP/1.1 103 E") + sized(),
        Passes(body=b"abc", informational=(103,)),
    ),
    ("too many 1xx", "GET", b"HTTP/1.1 103 E\r\n\r\n" * 17 + sized(), BREAKS),
    ("101", "GET", ok(b"Upgrade: x", b"Connection: upgrade", start=b"HTTP/1.1 101 Switching Protocols"), BREAKS),
    ("an offer to upgrade", "GET", sized(b"abc", b"Upgrade: h2c", b"Connection: upgrade"), ABC),
    ("bytes after the answer", "GET", sized() + b"x", OPEN),
    ("another answer after it", "GET", sized() + sized(b"secret"), OPEN),
    ("bytes after chunks", "GET", chunked(CHUNKS + b"x"), OPEN),
    ("differing lengths", "GET", ok(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), BREAKS),
    ("equal lengths", "GET", ok(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), BREAKS),
    ("a list of lengths", "GET", ok(b"Content-Length: 3, 3", body=b"abc"), BREAKS),
    ("+3", "GET", ok(b"Content-Length: +3", body=b"abc"), BREAKS),
    ("-1", "GET", ok(b"Content-Length: -1", body=b"abc"), BREAKS),
    ("no number", "GET", ok(b"Content-Length:", body=b"abc"), BREAKS),
    ("a huge length", "GET", ok(b"Content-Length: 99999999999999999999", body=b"abc"), BREAKS),
    ("a bad length of a HEAD", "HEAD", ok(b"Content-Length: x"), BREAKS),
    ("length and chunks", "GET", ok(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=CHUNKS), BREAKS),
    ("gzip, chunked", "GET", ok(b"Transfer-Encoding: gzip, chunked", body=CHUNKS), BREAKS),
    ("chunked twice", "GET", ok(*[b"Transfer-Encoding: chunked"] * 2, body=CHUNKS), BREAKS),
    ("identity", "GET", ok(b"Transfer-Encoding: identity", body=b"abc"), BREAKS),
    ("xchunked", "GET", ok(b"Transfer-Encoding: xchunked", body=CHUNKS), BREAKS),
    ("chunks in 1.0", "GET", ok(b"Transfer-Encoding: chunked", body=CHUNKS, start=b"HTTP/1.0 200 OK"), BREAKS),
    ("short of its length", "GET", ok(b"Content-Length: 9", body=b"abc"), BREAKS),
    ("chunks without an end", "GET", chunked(b"3\r\nabc\r\n"), BREAKS),
    ("chunks without the last CR LF", "GET", chunked(b"3\r\nabc\r\n0\r\n"), BREAKS),
    ("a bad size", "GET", chunked(b"zz\r\n"), BREAKS),
    ("LF after a size", "GET", chunked(b"3\nabc\r\n0\r\n\r\n"), BREAKS),
    ("folded", "GET", sized(b"abc", b"X: 1", b" 2"), BREAKS),
    ("space before the colon", "GET", sized(b"abc", b"X : 1"), BREAKS),
    ("no name", "GET", sized(b"abc", b": 1"), BREAKS),
    ("no colon", "GET", sized(b"abc", b"X"), BREAKS),
    ("NUL", "GET", sized(b"abc", b"X: \x00"), BREAKS),
    ("CR", "GET", sized(b"abc", b"X: a\rb"), BREAKS),
    ("LF", "GET", sized(b"abc", b"X: a\nSet-Cookie: b"), BREAKS),
    ("LF line ends", "GET", sized().replace(b"\r\n", b"\n"), BREAKS),
    ("nothing", "GET", b"", BREAKS),
    ("half a head", "GET", b"HTTP/1.1 200 OK\r\nContent-Le", BREAKS),
    ("not HTTP", "GET", b"SSH-2.0-OpenSSH\r\n\r\n", BREAKS),
    ("an empty line first", "GET", b"\r\n" + sized(), BREAKS),
    ("HTTP/2", "GET", sized(start=b"HTTP/2 200 OK"), BREAKS),
    ("HTTP/1.2", "GET", sized(start=b"HTTP/1.2 200 OK"), BREAKS),
    ("lower case", "GET", sized(start=b"http/1.1 200 OK"), BREAKS),
    ("ICY", "GET", sized(start=b"ICY 200 OK"), BREAKS),
    ("status 99", "GET", sized(start=b"HTTP/1.1 99 Low"), BREAKS),
    ("status 2000", "GET", sized(start=b"HTTP/1.1 2000 High"), BREAKS),
    ("status 020", "GET", sized(start=b"HTTP/1.1 020 Zero"), BREAKS),
    ("no status", "GET", sized(start=b"HTTP/1.1 OK"), BREAKS),
    ("two spaces", "GET", sized(start=b"HTTP/1.1  200 OK"), BREAKS),
    ("a control in the reason", "GET", sized(start=b"HTTP/1.1 200 O\x01K"), BREAKS),
]
