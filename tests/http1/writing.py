"""Hypothesis strategies that write messages: right ones, and right ones with a few faults put in."""

from hypothesis import strategies as st

METHODS = st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH"])
TARGETS = st.sampled_from([b"/", b"/a?b=c", b"/a/../b", b"//x", b"/%00", b"*", b"http://a/x", b"http://a", b"/a;b"])
NAMES = st.sampled_from([b"X", b"x-y", b"Accept", b"Connection", b"Cookie", b"TE", b"Trailer", b"Expect", b"Upgrade"])
TEXTS = st.sampled_from(
    [b"", b"1", b"close", b"keep-alive", b"chunked", b"100-continue", b"a, b", b" x ", b"\tx", b"\xff", b"trailers"]
)
FIELDS = st.lists(st.tuples(NAMES, TEXTS), max_size=4)
BODIES = st.binary(max_size=40)
VERSIONS = st.sampled_from([b"1.1"] * 8 + [b"1.0"])

FAULTS = st.sampled_from(
    [
        *(bytes((byte,)) for byte in b"\r\n\t \x00\x0b\x0c\x7f\xff:;,+-_0x\"'()/#?%"),
        b"\r\n",
        b"\r\n\r\n",
        b"\r\r\n",
        b"\n\n",
        b"\r\n ",
        b"Content-Length: 0\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Host: b\r\n",
        b"chunked",
        b", ",
        b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"0\r\n\r\n",
        b"HTTP/1.0",
        b"\xe2\x80\xa8",
        "３".encode(),
    ]
)


def lines(pairs: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in pairs)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """`body` in chunks of any size, with extensions and trailers."""
    written = b""
    while body:
        size = draw(st.integers(1, len(body)))
        extension = draw(st.sampled_from([b"", b"", b"", b";a", b";a=b", b';a="b"']))
        number = draw(st.sampled_from([b"%x", b"%X", b"%04x"])) % size
        written += number + extension + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    trailers = draw(st.lists(st.tuples(st.sampled_from([b"X", b"X-Sum", b"Content-Length"]), TEXTS), max_size=2))
    return written + b"0\r\n" + lines(trailers) + b"\r\n"


@st.composite
def framed(draw: st.DrawFn, body: bytes) -> tuple[bytes, bytes]:
    """The framing fields, and `body` as it travels."""
    kind = draw(st.sampled_from(["length", "chunked", "none"]))
    if kind == "length":
        return b"Content-Length: %d\r\n" % len(body), body
    if kind == "chunked":
        return b"Transfer-Encoding: chunked\r\n", draw(chunked(body))
    return b"", b""


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    framing, body = draw(framed(draw(BODIES)))
    start = b"%b %b HTTP/%b\r\nHost: a\r\n" % (draw(METHODS), draw(TARGETS), draw(VERSIONS))
    return start + lines(draw(FIELDS)) + framing + b"\r\n" + body


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    framing, body = draw(framed(draw(BODIES)))
    status = draw(st.sampled_from([b"200 OK"] * 4 + [b"204 No Content", b"304 Not Modified", b"500 ", b"404"]))
    interim = draw(st.sampled_from([b"", b"", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"]))
    start = b"HTTP/%b %b\r\n" % (draw(VERSIONS), status)
    return interim + start + lines(draw(FIELDS)) + framing + b"\r\n" + body


@st.composite
def faulty(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """Some bytes put in, taken out or overwritten."""
    data = draw(messages)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        gone = draw(st.integers(0, 2))
        data = data[:at] + draw(FAULTS) + data[at + gone :]
    return data


def requests_with_faults() -> st.SearchStrategy[bytes]:
    return faulty(requests())


def answers_with_faults() -> st.SearchStrategy[bytes]:
    return faulty(answers())


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in pieces, as reads may bring it."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
