"""What the proxy does for requests that their clients repeat: what a request asks, and answers that are given again.

A body that is larger than what may be inspected is told by its announced length and by how it begins. An answer is
copied while it passes, as its client gets it; one that is too large, or has no body that could be given again as it
was, is not kept.
"""

from collections.abc import Callable

import msgspec

from sidecar.domain.idempotency import ANSWER_MAX_BYTES, Keyed, keyed
from sidecar.http1 import fields
from sidecar.http1.exchange import Exchange
from sidecar.http1.heads import ResponseHead
from sidecar.proxy.terms import Route

_PRIVATE = frozenset({b"set-cookie", b"set-cookie2", b"trailer"})
"""Fields of an answer that are not kept: they are for one client at one time, or about what is not kept."""
_AGAIN = ((b"idempotency-replayed", b"true"), (b"x-credits-charged", b"0"))


class _Answer(msgspec.Struct, frozen=True):
    status: int
    reason: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Answer).decode


class Copy:
    """A copy of an answer whose body passes through `feed` and `flush`."""

    def __init__(self, feed: Callable[[bytes], bytes], flush: Callable[[], bytes]) -> None:
        self._feed = feed
        self._flush = flush
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> bytes:
        return self._keep(self._feed(piece))

    def flush(self) -> bytes:
        return self._keep(self._flush())

    def packed(self, exchange: Exchange, head: ResponseHead, drops: frozenset[bytes]) -> bytes | None:
        """The whole answer for the store; None when it cannot be given again."""
        if self._size > ANSWER_MAX_BYTES or exchange.head.method == b"HEAD" or head.status in (204, 304):
            return None
        split = (line.partition(b":") for line in fields.lines_of(head, drops | _PRIVATE))
        pairs = tuple((name, value.strip(b" \t")) for name, _, value in split)
        return _encode(_Answer(head.status, head.reason, pairs, b"".join(self._pieces)))

    def _keep(self, piece: bytes) -> bytes:
        self._size += len(piece)
        if self._size <= ANSWER_MAX_BYTES:
            self._pieces.append(piece)
        else:
            self._pieces.clear()
        return piece


def answer_again(exchange: Exchange, packed: bytes) -> None:
    """Give an answer that was kept."""
    kept = _decode(packed)
    exchange.answer(kept.status, kept.reason, (*kept.fields, *_AGAIN), kept.body)


def asked(exchange: Exchange, route: Route, key: bytes, inspect_max_bytes: int) -> Keyed:
    """The request with its key; its body has been read as far as it may be."""
    body = exchange.whole_body(inspect_max_bytes)
    told = (len(body), body) if body is not None else (exchange.head.length, _beginning(exchange, inspect_max_bytes))
    rule = route.terms.rule
    return keyed(rule.name, key, exchange.head.method, route.path, route.query, told, rule.feature)


def _beginning(exchange: Exchange, size: int) -> bytes:
    """The first bytes of a body that is larger than `size`."""
    seen: list[bytes] = []

    def see(payload: bytes, _last: bool) -> str:
        if not seen:
            seen.append(payload[:size])
        return ""

    exchange.watch(see)
    return seen[0]
