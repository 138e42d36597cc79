"""How others read a message: h11 and both of aiohttp's parsers (llhttp in C, and the one in Python).

Everything is brought into one shape, so that readings can be compared: see `Reading`.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import h11
import msgspec
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy, HttpResponseParser, HttpResponseParserPy

from sidecar.http1.bodies import ChunkDecoder
from sidecar.http1.errors import ProtocolError
from sidecar.http1.heads import CHUNKED, UNTIL_CLOSE, parse_request, parse_response

MAX_BYTES = 1 << 24
Fields = tuple[tuple[bytes, tuple[bytes, ...]], ...]


class Refused(Exception):
    """A parser does not take these bytes."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One message as somebody reads it. `start` is (method, target) or (status,); `complete`: its end is here."""

    start: tuple[bytes, ...]
    fields: Fields
    body: bytes
    complete: bool


def normalised(pairs: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Names in lower case and sorted, the values of each in their order.

    Framing is left out: how long a body was taken to be shows in the body, and in what follows.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        key = name.lower()
        if key not in (b"content-length", b"transfer-encoding"):
            values.setdefault(key, []).append(value.strip(b" \t"))
    return tuple((name, tuple(values[name])) for name in sorted(values))


def pairs_of(lines: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of one of our heads."""
    return [(name, line.partition(b":")[2]) for name, joined in lines.items() for line in joined.split(b"\r\n")]


def ours(data: bytes) -> tuple[Reading, bytes]:
    """The request at the start of `data` as the engine reads it, and what follows it.

    Raises Refused, also for a head that is not whole.
    """
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        raise Refused
    try:
        head = parse_request(data[:end], 128)
        body, rest, complete = _body(head.length, data[end:])
    except ProtocolError as error:
        raise Refused(error.detail) from None
    start, pairs = (head.method, head.target), pairs_of(head.lines)
    if head.declared >= 0:
        pairs.append((b"content-length", b"%d" % head.length))
    return Reading(start=start, fields=normalised(pairs), body=body, complete=complete), rest


def ours_answer(data: bytes, method: bytes) -> tuple[Reading, bytes]:
    """The same for an answer; 1xx are skipped."""
    while True:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            raise Refused
        try:
            head = parse_response(data[:end], method, 128)
            if head.status >= 200:
                body, rest, complete = _body(head.length, data[end:])
                break
        except ProtocolError as error:
            raise Refused(error.detail) from None
        data = data[end:]
    start = (b"%d" % head.status,)
    return Reading(start=start, fields=normalised(pairs_of(head.lines)), body=body, complete=complete), rest


def _body(length: int, data: bytes) -> tuple[bytes, bytes, bool]:
    if length == UNTIL_CLOSE:
        return data, b"", False
    if length != CHUNKED:
        return data[:length], data[length:], len(data) >= length
    decoder = ChunkDecoder(65_536)
    body = decoder.feed(data)
    return body, decoder.rest, decoder.done


def by_h11(data: bytes, *, method: str | None = None, eof: bool = False) -> tuple[list[Reading], bytes]:
    """All requests in `data`, or the one answer to a `method` request; and the bytes that were not taken."""
    readings: list[Reading] = []
    parser = h11.Connection(h11.CLIENT if method else h11.SERVER, max_incomplete_event_size=MAX_BYTES)
    if method:
        parser.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        parser.send(h11.EndOfMessage())
    try:
        parser.receive_data(data)
        if eof:
            parser.receive_data(b"")
        while (reading := _next_of_h11(parser)) is not None:
            readings.append(reading)
            if method or not reading.complete or parser.their_state is h11.MUST_CLOSE:
                break
            parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            parser.send(h11.EndOfMessage())
            if parser.our_state is not h11.DONE:
                break
            parser.start_next_cycle()
    except h11.RemoteProtocolError as error:
        raise Refused(f"h11: {error}") from None
    return readings, parser.trailing_data[0]


def _next_of_h11(parser: h11.Connection) -> Reading | None:
    head: h11.Request | h11.Response | None = None
    body: list[bytes] = []
    complete = False
    while not complete:
        event = parser.next_event()
        if isinstance(event, h11.Request | h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            complete = True
        elif not isinstance(event, h11.InformationalResponse):
            break
    if head is None:
        return None
    start = (head.method, head.target) if isinstance(head, h11.Request) else (b"%d" % head.status_code,)
    return Reading(start=start, fields=normalised(head.headers.raw_items()), body=b"".join(body), complete=complete)


def by_aiohttp(data: bytes, *, python: bool, method: str | None = None, eof: bool = False) -> list[Reading]:
    """All messages in `data`; needs a running loop. What follows a message that closes may be left out."""
    loop = asyncio.get_running_loop()
    kinds: Any = (HttpResponseParser, HttpResponseParserPy) if method else (HttpRequestParser, HttpRequestParserPy)
    options: dict[str, Any] = {"auto_decompress": False, "limit": MAX_BYTES}
    options |= {"max_line_size": 65_536, "max_field_size": 65_536, "max_headers": 129}
    if method:
        options |= {"response_with_body": method != "HEAD", "read_until_eof": True}
    parser = kinds[python](BaseProtocol(loop), loop, **options)
    try:
        messages, _upgraded, _tail = parser.feed_data(data)
        if eof:
            parser.feed_eof()
    except HttpProcessingError as error:
        raise Refused(f"aiohttp: {error!r}") from None
    return [
        _reading_of_aiohttp(message, payload, answer=method is not None)
        for message, payload in messages
        if method is None or message.code >= 200
    ]


def _reading_of_aiohttp(message: Any, payload: Any, *, answer: bool) -> Reading:
    broken = payload.exception()
    if broken is not None:
        raise Refused(f"aiohttp: {broken!r}")
    body = b""
    while piece := payload.read_nowait():
        body += piece
    if answer:
        start: tuple[bytes, ...] = (b"%d" % message.code,)
    else:
        start = (message.method.encode(), message.path.encode("utf-8", "surrogateescape"))
    fields = normalised(message.raw_headers)
    return Reading(start=start, fields=fields, body=body, complete=payload.is_eof())
