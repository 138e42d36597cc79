"""Requests and what must become of each: one table, to which every new trick is added as a row.

A row is (name, bytes, verdict). A verdict is `Takes` (exactly this method, target, body and rest), `Says` (refused
with this status) or `Waits` (not whole; nothing is said before more comes or time runs out).
"""

import msgspec


class Takes(msgspec.Struct, frozen=True):
    """`fields` are those beyond Host and framing; `rest` is where the next message begins."""

    method: bytes = b"GET"
    target: bytes = b"/"
    body: bytes = b""
    rest: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...] = ()
    trailers: tuple[tuple[bytes, bytes], ...] = ()


class Says(msgspec.Struct, frozen=True):
    status: int
    code: str = "bad_request"


class Waits(msgspec.Struct, frozen=True):
    pass


Verdict = Takes | Says | Waits

NO = Says(400)
WAITS = Waits()
UPGRADE = Says(501, "upgrade_unsupported")
METHOD = Says(501, "method_unsupported")
CODING = Says(501, "coding_unsupported")
VERSION = Says(505, "http_version_unsupported")
EXPECTATION = Says(417, "expectation_failed")

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"


def get(*lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a\r\n") -> bytes:
    return start + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(*lines: bytes, body: bytes = b"") -> bytes:
    return get(*lines, start=b"POST / HTTP/1.1") + body


def chunked(body: bytes, *lines: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", *lines, body=body)


ABC = Takes(b"POST", body=b"abc")

START_LINES: list[tuple[str, bytes, Verdict]] = [
    ("plain", get(), Takes()),
    ("followed by another", get() + NEXT, Takes(rest=NEXT)),
    ("query", get(start=b"GET /a?b=c&d HTTP/1.1"), Takes(target=b"/a?b=c&d")),
    ("dots in the target", get(start=b"GET /a/../b/./%2e%2e HTTP/1.1"), Takes(target=b"/a/../b/./%2e%2e")),
    ("two slashes", get(start=b"GET //evil/x HTTP/1.1"), Takes(target=b"//evil/x")),
    ("delete", get(start=b"DELETE /a HTTP/1.1"), Takes(b"DELETE", b"/a")),
    ("options *", get(start=b"OPTIONS * HTTP/1.1"), Takes(b"OPTIONS", b"*")),
    ("get *", get(start=b"GET * HTTP/1.1"), NO),
    ("absolute", get(start=b"GET http://a/x?y HTTP/1.1"), Takes(target=b"/x?y")),
    ("absolute https", get(start=b"GET HTTPS://A/x HTTP/1.1"), Takes(target=b"/x")),
    ("absolute without a path", get(start=b"GET http://a HTTP/1.1"), Takes(target=b"/")),
    ("absolute with only a query", get(start=b"GET http://a?x HTTP/1.1"), Takes(target=b"/?x")),
    ("absolute options", get(start=b"OPTIONS http://a HTTP/1.1"), Takes(b"OPTIONS", b"*")),
    ("absolute against Host", get(start=b"GET http://b/x HTTP/1.1"), NO),
    ("absolute with a port against Host", get(start=b"GET http://a:80/x HTTP/1.1"), NO),
    ("absolute with a user", get(start=b"GET http://a@b/x HTTP/1.1"), NO),
    ("absolute with a user of our name", get(start=b"GET http://u@a/x HTTP/1.1"), NO),
    ("absolute without a host", get(start=b"GET http:///x HTTP/1.0", host=b""), NO),
    ("absolute of another scheme", get(start=b"GET ftp://a/x HTTP/1.1"), NO),
    ("absolute with a fragment", get(start=b"GET http://a/x#y HTTP/1.1"), NO),
    ("fragment", get(start=b"GET /x#y HTTP/1.1"), NO),
    ("relative target", get(start=b"GET x HTTP/1.1"), NO),
    ("authority form", get(start=b"GET a:80 HTTP/1.1"), NO),
    ("no target", get(start=b"GET  HTTP/1.1"), NO),
    ("only a method", get(start=b"GET"), NO),
    ("two spaces", get(start=b"GET  / HTTP/1.1"), NO),
    ("two spaces before the version", get(start=b"GET /  HTTP/1.1"), NO),
    ("a space at the end", get(start=b"GET / HTTP/1.1 "), NO),
    ("a space at the beginning", get(start=b" GET / HTTP/1.1"), NO),
    ("a tab", get(start=b"GET\t/ HTTP/1.1"), NO),
    ("a space in the target", get(start=b"GET /a b HTTP/1.1"), NO),
    ("a form feed", get(start=b"GET\x0c/ HTTP/1.1"), NO),
    ("NUL in the target", get(start=b"GET /a\x00b HTTP/1.1"), NO),
    ("CR in the target", get(start=b"GET /a\rb HTTP/1.1"), NO),
    ("LF in the target", get(start=b"GET /a\nb HTTP/1.1"), NO),
    ("DEL in the target", get(start=b"GET /\x7f HTTP/1.1"), NO),
    ("high bytes in the target", get(start=b"GET /caf\xc3\xa9 HTTP/1.1"), NO),
    (
        "a second request in the target",
        get(start=b"GET / HTTP/1.1\r\nHost: b\r\n\r\nGET /x HTTP/1.1"),
        Takes(rest=b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
    ("no version: HTTP/0.9", b"GET /\r\n\r\n", NO),
    ("version 0.9", get(start=b"GET / HTTP/0.9"), VERSION),
    ("version 1.2", get(start=b"GET / HTTP/1.2"), VERSION),
    ("version 2.0", get(start=b"GET / HTTP/2.0"), VERSION),
    ("version 1.10", get(start=b"GET / HTTP/1.10"), NO),
    ("version 01.1", get(start=b"GET / HTTP/01.1"), NO),
    ("version 1", get(start=b"GET / HTTP/1"), NO),
    ("version +1.1", get(start=b"GET / HTTP/+1.1"), NO),
    ("version 1,1", get(start=b"GET / HTTP/1,1"), NO),
    ("lower-case http", get(start=b"GET / http/1.1"), NO),
    ("an unicode digit as version", get(start="GET / HTTP/1.١".encode()), NO),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
    ("PRI in 1.1", get(start=b"PRI * HTTP/1.1"), NO),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", NO),
    ("lower-case method", get(start=b"get / HTTP/1.1"), METHOD),
    ("unknown method", get(start=b"FROB / HTTP/1.1"), METHOD),
    ("a method with a colon", get(start=b"GET: / HTTP/1.1"), NO),
    ("connect", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", METHOD),
    ("connect with a length", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 3\r\n\r\nabc", METHOD),
    ("connect with chunks", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD),
    ("connect to a path", get(start=b"CONNECT / HTTP/1.1"), METHOD),
    ("trace", get(start=b"TRACE / HTTP/1.1"), METHOD),
    ("empty lines first", b"\r\n\r\n" + get(), Takes()),
    ("a lone CR first", b"\r" + get(), NO),
    ("a lone LF first", b"\n" + get(), NO),
    ("LF line ends", get().replace(b"\r\n", b"\n"), NO),
    ("CR line ends", get().replace(b"\r\n", b"\r"), WAITS),
    ("LF after the request line", get().replace(b"1.1\r\n", b"1.1\n"), NO),
    ("CR CR LF after the request line", get().replace(b"1.1\r\n", b"1.1\r\r\n"), NO),
    ("1.0", get(start=b"GET / HTTP/1.0"), Takes()),
    ("1.0 without Host", get(start=b"GET / HTTP/1.0", host=b""), Takes()),
]

FIELDS: list[tuple[str, bytes, Verdict]] = [
    ("a field", get(b"X: 1"), Takes(fields=((b"x", b"1"),))),
    ("names in odd case", get(b"x-OdD: V"), Takes(fields=((b"x-odd", b"V"),))),
    ("an empty value", get(b"X:"), Takes(fields=((b"x", b""),))),
    ("only spaces as value", get(b"X:   "), Takes(fields=((b"x", b""),))),
    ("spaces around a value", get(b"X: \t 1 \t"), Takes(fields=((b"x", b"1"),))),
    ("a value with tabs, colons and high bytes", get(b"X: a\tb: \xff"), Takes(fields=((b"x", b"a\tb: \xff"),))),
    ("a field twice", get(b"X: 1", b"Y: 2", b"x: 3"), Takes(fields=((b"x", b"1"), (b"x", b"3"), (b"y", b"2")))),
    ("an underscore", get(b"Content_Length: 5"), Takes(fields=((b"content_length", b"5"),))),
    ("no Host", get(host=b""), NO),
    ("an empty Host", get(host=b"Host:\r\n"), NO),
    ("Host twice", get(b"Host: a"), NO),
    ("Host twice, other case", get(b"hOST: b"), NO),
    ("two hosts in one", get(host=b"Host: a, b\r\n"), NO),
    ("Host with a path", get(host=b"Host: a/b\r\n"), NO),
    ("Host with a user", get(host=b"Host: u@a\r\n"), NO),
    ("Host with a fragment", get(host=b"Host: a#b\r\n"), NO),
    ("Host with a bad port", get(host=b"Host: a:x\r\n"), NO),
    ("Host with two ports", get(host=b"Host: a:1:2\r\n"), NO),
    ("Host as a URL", get(host=b"Host: http://a\r\n"), NO),
    ("Host with high bytes", get(host=b"Host: \xc3\xa9\r\n"), NO),
    ("Host: IPv6", get(host=b"Host: [::1]:8080\r\n"), Takes()),
    ("Host: half an IPv6", get(host=b"Host: [::1\r\n"), NO),
    ("space before the colon", get(b"X : 1"), NO),
    ("tab before the colon", get(b"X\t: 1"), NO),
    ("space before the colon of a length", post(b"Content-Length : 3", body=b"abc"), NO),
    ("space before the colon of a coding", post(b"Transfer-Encoding : chunked", body=CHUNKS), NO),
    ("a space before a name", get(b" X: 1"), NO),
    ("a space before the first name", get(host=b" Host: a\r\n"), NO),
    ("folded", get(b"X: 1", b" 2"), NO),
    ("folded with a tab", get(b"X: 1", b"\t2"), NO),
    ("folded after nothing", get(b"X:", b" 2"), NO),
    ("a folded length", post(b"Content-Length:", b" 3", body=b"abc"), NO),
    ("a folded coding", post(b"Transfer-Encoding:", b" chunked", body=CHUNKS), NO),
    ("a line of one space", get(b"X: 1", b" "), NO),
    ("no name", get(b": 1"), NO),
    ("no colon", get(b"X"), NO),
    ("NUL in a name", get(b"X\x00: 1"), NO),
    ("NUL in a value", get(b"X: \x00"), NO),
    ("NUL after a coding", post(b"Transfer-Encoding: chunked\x00", body=CHUNKS), NO),
    ("a control in a value", get(b"X: \x01"), NO),
    ("vertical tab", get(b"X: a\x0bb"), NO),
    ("escape", get(b"X: \x1b[2J"), NO),
    ("DEL in a value", get(b"X: \x7f"), NO),
    ("high bytes in a name", get(b"X\xe9: 1"), NO),
    ("a soft hyphen in a length", post(b"Content\xadLength: 3", body=b"abc"), NO),
    ("brackets in a name", get(b"X(1): 1"), NO),
    ("quotes in a name", get(b'"X": 1'), NO),
    ("CR in a value", get(b"X: 1\rY: 2"), NO),
    ("CR at the end of a value", get(b"X: 1\r"), NO),
    ("LF in a value", get(b"X: 1\nY: 2"), NO),
    ("LF ends a line", get(b"X: 1\nTransfer-Encoding: chunked"), NO),
    ("LF ends the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n\r\n\r\n", NO),
    ("CR LF LF", b"GET / HTTP/1.1\r\nHost: a\r\n\nX: 1\r\n\r\n", NO),
    ("LF CR LF", b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n", NO),
]

FRAMING: list[tuple[str, bytes, Verdict]] = [
    ("a length", post(b"Content-Length: 3", body=b"abc" + NEXT), Takes(b"POST", body=b"abc", rest=NEXT)),
    ("a length of nothing", post(b"Content-Length: 0", body=NEXT), Takes(b"POST", rest=NEXT)),
    ("no length, with bytes (CL.0)", post(body=NEXT), Takes(b"POST", rest=NEXT)),
    ("a get with a body (0.CL)", get(b"Content-Length: 3") + b"abc" + NEXT, Takes(body=b"abc", rest=NEXT)),
    ("leading zeros", post(b"Content-Length: 0003", body=b"abc"), ABC),
    ("differing lengths", post(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"), NO),
    ("equal lengths", post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), NO),
    ("a list of lengths", post(b"Content-Length: 3, 4", body=b"abcd"), NO),
    ("a list of equal lengths", post(b"Content-Length: 3, 3", body=b"abc"), NO),
    ("a length and an empty one", post(b"Content-Length: 3", b"Content-Length:", body=b"abc"), NO),
    ("an empty length", post(b"Content-Length:", body=b"abc"), NO),
    ("+3", post(b"Content-Length: +3", body=b"abc"), NO),
    ("-3", post(b"Content-Length: -3", body=b"abc"), NO),
    ("-0", post(b"Content-Length: -0"), NO),
    ("0x3", post(b"Content-Length: 0x3", body=b"abc"), NO),
    ("1_0", post(b"Content-Length: 1_0", body=b"abcdefghij"), NO),
    ("1e1", post(b"Content-Length: 1e1", body=b"abcdefghij"), NO),
    ("3.0", post(b"Content-Length: 3.0", body=b"abc"), NO),
    ("3 4", post(b"Content-Length: 3 4", body=b"abc"), NO),
    ("quoted", post(b'Content-Length: "3"', body=b"abc"), NO),
    ("unicode digits", post("Content-Length: ３".encode(), body=b"abc"), NO),
    ("latin superscript", post(b"Content-Length: \xb3", body=b"abc"), NO),
    ("a huge length", post(b"Content-Length: 99999999999999999999"), NO),
    ("2^64 + 3", post(b"Content-Length: 18446744073709551619", body=b"abc"), NO),
    ("too long a body", post(b"Content-Length: 999999999999"), Says(413, "body_too_large")),
    ("length and chunks (CL.TE)", chunked(b"0\r\n\r\nG", b"Content-Length: 6"), NO),
    ("chunks and length (TE.CL)", post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"5c\r\n"), NO),
    ("chunks and a length of nothing", chunked(CHUNKS, b"Content-Length: 0"), NO),
    ("chunks and a bad length", chunked(CHUNKS, b"Content-Length: x"), NO),
    ("chunks and identity (TE.TE)", chunked(CHUNKS, b"Transfer-Encoding: identity"), NO),
    ("identity and chunks", post(b"Transfer-Encoding: identity, chunked", body=CHUNKS), CODING),
    ("identity", post(b"Transfer-Encoding: identity", body=b"abc"), NO),
    ("gzip", post(b"Transfer-Encoding: gzip", body=b"abc"), NO),
    ("gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS), CODING),
    ("chunked, gzip", post(b"Transfer-Encoding: chunked, gzip", body=CHUNKS), NO),
    ("chunked, chunked", post(b"Transfer-Encoding: chunked, chunked", body=CHUNKS), NO),
    ("chunked twice", chunked(CHUNKS, b"Transfer-Encoding: chunked"), NO),
    ("chunked and something", chunked(CHUNKS, b"Transfer-encoding: cow"), NO),
    ("xchunked", post(b"Transfer-Encoding: xchunked", body=CHUNKS), NO),
    ("chunkedx", post(b"Transfer-Encoding: chunkedx", body=CHUNKS), NO),
    ("chunked;", post(b"Transfer-Encoding: chunked;", body=CHUNKS), NO),
    ("chunked;q=1", post(b"Transfer-Encoding: chunked;q=1", body=CHUNKS), NO),
    ("chunked,", post(b"Transfer-Encoding: chunked,", body=CHUNKS), NO),
    (",chunked", post(b"Transfer-Encoding: ,chunked", body=CHUNKS), CODING),
    ("quoted chunked", post(b'Transfer-Encoding: "chunked"', body=CHUNKS), NO),
    ("no coding", post(b"Transfer-Encoding:", body=CHUNKS), NO),
    ("CHUNKED", post(b"Transfer-Encoding: CHUNKED", body=CHUNKS), ABC),
    ("a tab before chunked", post(b"Transfer-Encoding:\tchunked", body=CHUNKS), ABC),
    ("a tab after chunked", post(b"Transfer-Encoding: chunked\t", body=CHUNKS), NO),
    ("vertical tab before chunked", post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS), NO),
    ("X: a line that hides a coding", post(b"X: x\rTransfer-Encoding: chunked", body=CHUNKS), NO),
    (
        "a coding with an underscore",
        post(b"Transfer_Encoding: chunked", b"Content-Length: 3", body=b"abc"),
        Takes(b"POST", body=b"abc", fields=((b"transfer_encoding", b"chunked"),)),
    ),
    ("chunks in 1.0", get(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0") + CHUNKS, NO),
    ("a length in 1.0", get(b"Content-Length: 3", start=b"POST / HTTP/1.0") + b"abc", ABC),
    ("upgrade", get(b"Upgrade: websocket", b"Connection: Upgrade"), UPGRADE),
    ("h2c", get(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk"), UPGRADE),
    ("upgrade with a body", post(b"Upgrade: x", b"Connection: upgrade", b"Content-Length: 3", body=b"abc"), UPGRADE),
    ("upgrade, bad field after", get(b"Upgrade: x", b"Connection: upgrade", b"X : 1"), NO),
    ("upgrade that nobody named", get(b"Upgrade: h2c"), Takes(fields=((b"upgrade", b"h2c"),))),
    (
        "expect",
        post(b"Expect: 100-continue", b"Content-Length: 3", body=b"abc"),
        Takes(b"POST", body=b"abc", fields=((b"expect", b"100-continue"),)),
    ),
    (
        "EXPECT",
        post(b"Expect: 100-Continue", b"Content-Length: 3", body=b"abc"),
        Takes(b"POST", body=b"abc", fields=((b"expect", b"100-Continue"),)),
    ),
    ("expect something", get(b"Expect: a-pony"), EXPECTATION),
    ("expect nothing", get(b"Expect:"), EXPECTATION),
    ("expect twice", get(b"Expect: 100-continue", b"Expect: 100-continue"), EXPECTATION),
    ("expect 200-ok", get(b"Expect: 200-ok"), EXPECTATION),
]

CHUNKED: list[tuple[str, bytes, Verdict]] = [
    ("chunks", chunked(CHUNKS + NEXT), Takes(b"POST", body=b"abc", rest=NEXT)),
    ("no chunk", chunked(b"0\r\n\r\n" + NEXT), Takes(b"POST", rest=NEXT)),
    ("two chunks", chunked(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), ABC),
    (
        "hex in both cases",
        chunked(b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        Takes(b"POST", body=b"0123456789" * 2),
    ),
    ("leading zeros of a size", chunked(b"003\r\nabc\r\n000\r\n\r\n"), ABC),
    ("an extension", chunked(b"3;a=b\r\nabc\r\n0;c\r\n\r\n"), ABC),
    ("a quoted extension", chunked(b'3;a="b;c"\r\nabc\r\n0\r\n\r\n'), ABC),
    ("two extensions", chunked(b"3;a;b=c\r\nabc\r\n0\r\n\r\n"), ABC),
    ("an extension without a name", chunked(b"3;\r\nabc\r\n0\r\n\r\n"), NO),
    ("an extension without a value", chunked(b"3;a=\r\nabc\r\n0\r\n\r\n"), NO),
    ("an extension with an open quote", chunked(b'3;a="b\r\nabc\r\n0\r\n\r\n'), NO),
    ("a space in an extension", chunked(b"3; a\r\nabc\r\n0\r\n\r\n"), NO),
    ("space before an extension", chunked(b"3 ;a\r\nabc\r\n0\r\n\r\n"), NO),
    ("LF in an extension (TERM.EXT)", chunked(b"3;\nxx\r\nabc\r\n0\r\n\r\n"), NO),
    ("CR in an extension", chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"), NO),
    ("NUL in an extension", chunked(b"3;\x00\r\nabc\r\n0\r\n\r\n"), NO),
    ("LF after a size", chunked(b"3\nabc\r\n0\r\n\r\n"), NO),
    ("CR after a size", chunked(b"3\rabc\r\n0\r\n\r\n"), NO),
    ("CR after a size, then a byte", chunked(b"3\rXabc\r\n0\r\n\r\n"), NO),
    ("LF after data (SPILL.TERM)", chunked(b"3\r\nabc\n0\r\n\r\n"), NO),
    ("CR after data", chunked(b"3\r\nabc\r0\r\n\r\n"), NO),
    ("two bytes after data", chunked(b"3\r\nabcXX0\r\n\r\n"), NO),
    ("more data than the size", chunked(b"3\r\nabcd\r\n0\r\n\r\n"), NO),
    ("less data than the size", chunked(b"4\r\nabc\r\n0\r\n\r\n"), NO),
    ("LF ends the last chunk", chunked(b"0\n\r\n"), NO),
    ("LF ends the body", chunked(b"0\r\n\n" + NEXT), NO),
    ("CR LF in front", chunked(b"\r\n3\r\nabc\r\n0\r\n\r\n"), NO),
    ("a space before a size", chunked(b" 3\r\nabc\r\n0\r\n\r\n"), NO),
    ("a space after a size", chunked(b"3 \r\nabc\r\n0\r\n\r\n"), NO),
    ("0x3 as a size", chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), NO),
    ("+3 as a size", chunked(b"+3\r\nabc\r\n0\r\n\r\n"), NO),
    ("-3 as a size", chunked(b"-3\r\nabc\r\n0\r\n\r\n"), NO),
    ("0_3 as a size", chunked(b"0_3\r\nabc\r\n0\r\n\r\n"), NO),
    ("g as a size", chunked(b"g\r\nabc\r\n0\r\n\r\n"), NO),
    ("no size", chunked(b"\r\nabc\r\n0\r\n\r\n"), NO),
    ("only an extension", chunked(b";a\r\n\r\n0\r\n\r\n"), NO),
    ("unicode digits as a size", chunked("３\r\nabc\r\n0\r\n\r\n".encode()), NO),
    ("2^64 + 3 as a size", chunked(b"10000000000000003\r\nabc\r\n0\r\n\r\n"), NO),
    ("an endless size", chunked(b"0" * 2000), NO),
    ("an endless extension", chunked(b"3;" + b"a" * 2000), NO),
    ("many extensions", chunked((b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 20), NO),
    (
        "trailers",
        chunked(b"0\r\nX: 1\r\nY:2 \r\n\r\n" + NEXT),
        Takes(b"POST", rest=NEXT, trailers=((b"X", b"1"), (b"Y", b"2"))),
    ),
    ("a length in trailers", chunked(b"0\r\nContent-Length: 9\r\n\r\n"), NO),
    ("a coding in trailers", chunked(b"0\r\ntransfer-encoding: chunked\r\n\r\n"), NO),
    ("Host in trailers", chunked(b"0\r\nHost: b\r\n\r\n"), Takes(b"POST", trailers=((b"Host", b"b"),))),
    ("a folded trailer", chunked(b"0\r\nX: 1\r\n 2\r\n\r\n"), NO),
    ("a space in a trailer's name", chunked(b"0\r\nX : 1\r\n\r\n"), NO),
    ("a trailer without a colon", chunked(b"0\r\nX\r\n\r\n"), NO),
    ("a trailer without a name", chunked(b"0\r\n: 1\r\n\r\n"), NO),
    ("LF in a trailer", chunked(b"0\r\nX: 1\nY: 2\r\n\r\n"), NO),
    ("CR in a trailer", chunked(b"0\r\nX: 1\rY: 2\r\n\r\n"), NO),
    ("NUL in a trailer", chunked(b"0\r\nX: \x00\r\n\r\n"), NO),
    ("endless trailers", chunked(b"0\r\n" + b"X: 1\r\n" * 20_000), NO),
    ("a request as a trailer", chunked(b"0\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"), NO),
]

WHOLE = {
    "a get": get(b"X: 1"),
    "a length": post(b"Content-Length: 3", body=b"abc"),
    "chunks": chunked(b"3;e\r\nabc\r\n0\r\nX: 1\r\n\r\n"),
}
"""Each of these is cut at every byte: no shorter piece may be taken for a message."""

CASES = START_LINES + FIELDS + FRAMING + CHUNKED
