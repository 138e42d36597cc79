"""Content codings of answers, decoded beside the client's bytes, piece by piece, in bounded memory.

gzip and deflate always; br and zstd where what decodes them is installed (the extra ``codings``). What a small input
can expand to is bounded: by the size of each piece handed on, by a total per answer, and by how far back a text may
refer, which is what a decoder keeps.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

PIECE_MAX_BYTES = 65_536
DECODED_MAX_BYTES = 268_435_456
"""Beyond this much decoded text the answer's usage counts as unreadable: no honest answer is that large."""

ZSTD_WINDOW_LOG_MAX = 23
"""8 MiB, the most that a server may expect a client to keep (RFC 9659)."""


class CodingError(Exception):
    """The coded text is broken, expands beyond the bound, or is in a coding that is not read here."""


class Decoder(Protocol):
    """Decodes one answer."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The text of the next piece, in pieces of at most `PIECE_MAX_BYTES`; CodingError."""


class _Bounded:
    """Counts what an answer expands to, and breaks it up."""

    def __init__(self) -> None:
        self._budget = DECODED_MAX_BYTES

    def _pieces(self, text: bytes) -> Iterator[bytes]:
        self._budget -= len(text)
        if self._budget < 0:
            raise CodingError("expands beyond the bound")
        for start in range(0, len(text), PIECE_MAX_BYTES):
            yield text[start : start + PIECE_MAX_BYTES]


class Inflater(_Bounded):
    """gzip and deflate; the latter is zlib by the standard and bare deflate by some servers; both are read."""

    def __init__(self, *, gzip: bool) -> None:
        super().__init__()
        self._gzip = gzip
        self._inflate = zlib.decompressobj(31) if gzip else None
        self._held = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
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
                yield from self._pieces(text)
                if self._inflate.eof and self._inflate.unused_data and self._gzip:
                    data = self._inflate.unused_data
                    self._inflate = zlib.decompressobj(31)
                    continue
                data = self._inflate.unconsumed_tail
                if not data and len(text) < PIECE_MAX_BYTES:
                    return
        except zlib.error as error:
            raise CodingError(str(error)) from error


class _Brotli(_Bounded):
    def __init__(self, brotli: ModuleType) -> None:
        super().__init__()
        self._decompressor = brotli.Decompressor()
        self._error: type[Exception] = brotli.error

    def decode(self, data: bytes) -> Iterator[bytes]:
        decompressor = self._decompressor
        try:
            while True:
                text = decompressor.process(data, output_buffer_limit=PIECE_MAX_BYTES)
                yield from self._pieces(text)
                # It takes in all of a piece long before it has given out all text of it.
                if not text and decompressor.can_accept_more_data():
                    return
                data = b""
        except self._error as error:
            raise CodingError(str(error)) from error


class _Zstd(_Bounded):
    def __init__(self, zstd: ModuleType) -> None:
        super().__init__()
        window: Mapping[Any, int] = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG_MAX}
        self._open: Callable[[], Any] = lambda: zstd.ZstdDecompressor(options=window)
        self._decompressor = self._open()
        self._error: type[Exception] = zstd.ZstdError

    def decode(self, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                if self._decompressor.eof:
                    data = self._decompressor.unused_data + data
                    self._decompressor = self._open()
                if not data and self._decompressor.needs_input:
                    return
                yield from self._pieces(self._decompressor.decompress(data, PIECE_MAX_BYTES))
                data = b""
        except self._error as error:
            raise CodingError(str(error)) from error


def _installed(*names: str) -> ModuleType | None:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


_BROTLI = _installed("brotli")
_ZSTD = _installed("compression.zstd", "backports.zstd")

READABLE = frozenset({b"gzip", b"x-gzip", b"deflate", b"identity"}).union(
    coding for coding, module in ((b"br", _BROTLI), (b"zstd", _ZSTD)) if module is not None
)
"""The codings that `decoder_of` takes, lower case."""
INSTALL = "pip install 'entitlement-sidecar[codings]'"
"""What brings the others that we know."""


def missing() -> tuple[str, ...]:
    """The codings that could be read if their decoders were installed."""
    return tuple(coding.decode() for coding in (b"br", b"zstd") if coding not in READABLE)


def decoder_of(coding: bytes) -> Decoder | None:
    """The decoder for a ``Content-Encoding``: None when there is nothing to decode; CodingError when we cannot."""
    match coding.strip().lower():
        case b"" | b"identity":
            return None
        case b"gzip" | b"x-gzip":
            return Inflater(gzip=True)
        case b"deflate":
            return Inflater(gzip=False)
        case b"br" if _BROTLI is not None:
            return _Brotli(_BROTLI)
        case b"zstd" if _ZSTD is not None:
            return _Zstd(_ZSTD)
        case b"br" | b"zstd" as known:
            raise CodingError(f"{known.decode()} is not read here: {INSTALL}")
        case other:
            raise CodingError(f"{other[:64].decode('latin-1')!a} is not read here")
