"""Content codings of answers, decoded beside the client's bytes: gzip and deflate, piece by piece, in bounded memory.

What a small input can expand to is bounded: by the size of each piece handed on, and by a total per answer.
"""

import zlib
from collections.abc import Iterator

PIECE_MAX_BYTES = 65_536
DECODED_MAX_BYTES = 268_435_456
"""Beyond this much decoded text the answer's usage counts as unreadable: no honest answer is that large."""

READABLE = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"})
"""The codings that `inflater` takes, lower case."""


class CodingError(Exception):
    """The coded text is broken, or expands beyond the bound."""


class Inflater:
    """Decodes one answer. ``deflate`` is zlib by the standard and bare deflate by some servers; both are read."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inflate = zlib.decompressobj(31) if gzip else None
        self._held = b""
        self._budget = DECODED_MAX_BYTES

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The text of the next piece, in pieces of at most `PIECE_MAX_BYTES`; CodingError."""
        if self._inflate is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return
            header = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflate = zlib.decompressobj(15 if header else -15)
        try:
            while True:
                text = self._inflate.decompress(data, PIECE_MAX_BYTES)
                self._budget -= len(text)
                if self._budget < 0:
                    raise CodingError("expands beyond the bound")
                if text:
                    yield text
                if self._inflate.eof and self._inflate.unused_data and self._gzip:
                    data = self._inflate.unused_data
                    self._inflate = zlib.decompressobj(31)
                    continue
                data = self._inflate.unconsumed_tail
                if not data and len(text) < PIECE_MAX_BYTES:
                    return
        except zlib.error as error:
            raise CodingError(str(error)) from error


def inflater(coding: bytes) -> Inflater | None:
    """The decoder for a ``Content-Encoding``: None when there is nothing to decode; CodingError when we cannot."""
    match coding.strip().lower():
        case b"" | b"identity":
            return None
        case b"gzip" | b"x-gzip":
            return Inflater(gzip=True)
        case b"deflate":
            return Inflater(gzip=False)
    raise CodingError("a coding that is not read here")
