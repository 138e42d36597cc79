"""Heads that have been read before.

The requests of one client, and the answers of one server within a second, differ in little but the length of their
bodies. A head that has been read is remembered by its exact bytes, the digits of its Content-Length left out; the
next one like it costs a look-up (1 µs) instead of a parse (4 µs), and what is worked out about a head is kept in its
`notes`.

Only what the parser has accepted is remembered, so a look-up can accept nothing that a parse would refuse.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from sidecar.http1.heads import Head

KNOWN_MAX = 1024
"""Heads remembered, about 2 KiB each; when that many are known, all are forgotten."""
HEAD_MAX_BYTES = 2048
"""Longer heads are parsed each time."""
FIELDS_MAX = 32
"""So are those with more fields: 128 tiny ones take 14 KiB, and a client could fill the memory with them."""
DRY_MAX = 256
"""After so many unknown heads in a row (each has an id of its own, say) only every 16th is still looked up."""

_LENGTH, _LENGTH_LOWER = b"\r\nContent-Length: ", b"\r\ncontent-length: "

SomeHead = TypeVar("SomeHead", bound=Head)


class KnownHeads(Generic[SomeHead]):
    """Reads heads by `parse`, or from memory; one for all connections of a kind."""

    def __init__(self, parse: Callable[[bytes], SomeHead]) -> None:
        self._parse = parse
        self._heads: dict[bytes, SomeHead] = {}
        self._dry = 0

    def read(self, data: bytes) -> SomeHead:
        """What `parse` would answer, or raise."""
        if self._dry > DRY_MAX:
            self._dry += 1
            if self._dry & 15:
                return self._parse(data)
        key, length = data, -1
        start = data.find(_LENGTH)
        if start < 0:
            start = data.find(_LENGTH_LOWER)
        if start >= 0:
            start += len(_LENGTH)
            end = data.find(b"\r\n", start)
            digits = data[start:end]
            if not digits.isdigit() or len(digits) > 18:
                return self._parse(data)
            key, length = data[:start] + data[end:], int(digits)
        known = self._heads.get(key)
        if known is None:
            return self._learn(key, length, data)
        self._dry = 0
        return known if length in (-1, known.length) else known.with_length(length)

    def _learn(self, key: bytes, length: int, data: bytes) -> SomeHead:
        self._dry += 1
        head = self._parse(data)
        # Where the length does not decide alone (204 and 304, an expectation), each head is parsed. That nothing
        # follows a length of 0 does not show what would follow another one.
        decides = length < 0 or length == head.length > 0
        small = len(data) <= HEAD_MAX_BYTES and len(head.lines) <= FIELDS_MAX
        if decides and small and b"expect" not in head:
            if len(self._heads) >= KNOWN_MAX:
                self._heads.clear()
            self._heads[key] = head
        return head
