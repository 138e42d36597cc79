"""What the imitations of real APIs share: how a body is delivered, and a deterministic text with countable tokens.

The same request always gets the same bytes, so that an answer through the proxy can be compared with the direct one.
"""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tests.support.upstream import Exchange, Gate, chunk, cut, head

WORDS = (
    "Bonjour",
    ", ",
    "le",
    " monde",
    " — ",
    "世界",
    " 🌍",
    " says",
    ": ",
    '"',
    "data: [DONE]",
    '"',
    "\n\n",
    "end",
)
"""One token each; with text that a careless reader of events would stumble over."""


class Delivery(msgspec.Struct, kw_only=True):
    """How bodies go out. None of it changes what a correct client understands."""

    chunk_bytes: int | None = None
    """Re-cut streamed bodies into HTTP chunks of this size; None: one chunk for each event."""
    write_bytes: int | None = None
    """Write in pieces of this size, each a TCP segment of its own; None: one write for each chunk."""
    line_end: bytes = b"\n"
    """Line end of the events; the standard allows LF, CRLF and CR."""
    gzip_json: bool = True
    """Compress plain answers when the request accepts it, as the real ones do."""
    gzip_events: bool = False
    """Compress streamed answers too when the request accepts it."""
    gate: Gate | None = None
    """Stop before the event number `gate_before`, counted from 0."""
    gate_before: int = 3


class Refused(Exception):
    """The imitated API refuses the request, as JSON `body`."""

    def __init__(self, status: int, body: Mapping[str, Any], *fields: tuple[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.fields = fields


def tokens_of(*texts: str) -> int:
    """A deterministic count of input tokens, in the range of the real ones: four characters each, rounded up."""
    return sum(4 + -(-len(text) // 4) for text in texts)


def output(limit: int | None, asked: str = "") -> list[str]:
    """The output tokens of an answer, no more than `limit`: `WORDS`, or the N tokens that a prompt "count N" asks."""
    words: Sequence[str] = WORDS
    if asked.startswith("count "):
        words = [f"{number} " for number in range(int(asked.removeprefix("count ")))]
    return list(words[: len(words) if limit is None else limit])


def texts_of(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The texts of chat messages, whose content is a string or a list of parts."""
    texts = []
    for message in messages:
        content = message["content"]
        texts.append(content if isinstance(content, str) else "".join(part.get("text", "") for part in content))
    return texts


def accepts_gzip(exchange: Exchange) -> bool:
    return any(b"gzip" in value for value in exchange.request.all(b"accept-encoding"))


async def send_json(
    exchange: Exchange, delivery: Delivery, status: int, document: bytes, *fields: tuple[str, str]
) -> None:
    """A plain JSON answer with a length."""
    extra: list[tuple[str, str]] = []
    if delivery.gzip_json and accepts_gzip(exchange):
        document = gzip.compress(document, mtime=0)
        extra.append(("Content-Encoding", "gzip"))
    start = head(
        status, ("Content-Type", "application/json"), *fields, *extra, ("Content-Length", str(len(document)))
    )
    await exchange.send(*cut(start + document, delivery.write_bytes))


def event(delivery: Delivery, data: str, name: str | None = None) -> bytes:
    """The bytes of one server-sent event."""
    end = delivery.line_end
    field = b"event: %s%s" % (name.encode(), end) if name else b""
    return field + b"data: " + data.encode() + end + end


async def send_events(
    exchange: Exchange, delivery: Delivery, events: Sequence[bytes], *fields: tuple[str, str]
) -> None:
    """A streamed, chunked answer of `events`."""
    compressed = delivery.gzip_events and accepts_gzip(exchange)
    extra = [("Content-Encoding", "gzip")] if compressed else []
    start = head(
        200,
        ("Content-Type", "text/event-stream; charset=utf-8"),
        *fields,
        *extra,
        ("Transfer-Encoding", "chunked"),
    )
    await exchange.send(*cut(start, delivery.write_bytes))
    for pieces in _bodies(delivery, [gzip.compress(b"".join(events), mtime=0)] if compressed else events):
        if pieces is None:
            assert delivery.gate is not None
            await delivery.gate.pause()
        else:
            await exchange.send(*cut(pieces, delivery.write_bytes))
    await exchange.send(*cut(chunk(b""), delivery.write_bytes))


def _bodies(delivery: Delivery, events: Sequence[bytes]) -> Iterator[bytes | None]:
    """The chunks of the body in their order; None where the gate stands."""
    groups = [events]
    if delivery.gate is not None:
        groups = [events[: delivery.gate_before], events[delivery.gate_before :]]
    for number, group in enumerate(groups):
        if number:
            yield None
        pieces = group if delivery.chunk_bytes is None else cut(b"".join(group), delivery.chunk_bytes)
        yield from (chunk(piece) for piece in pieces)
