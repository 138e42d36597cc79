"""Messages of AWS event streams (``application/vnd.amazon.eventstream``) cut out of a byte stream.

A message is its length and that of its headers, a checksum of both, headers, payload, and a checksum of all of it.
What a checksum does not confirm is not read, nor is anything after it.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping

from sidecar.domain.meters.events import EVENT_MAX_BYTES, EventTooLarge, Unfollowable

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CHECKSUM.size
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""The size of a header's value by its type; text and bytes have a length of their own."""
_BYTES, _TEXT = 6, 7


class FrameBroken(Unfollowable):
    """A message's lengths or checksums are wrong."""


class FrameBuffer:
    """Collects pieces and gives out whole messages."""

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending = bytearray()

    def add(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes; EventTooLarge, FrameBroken."""
        pending = self.pending
        pending += data
        while len(pending) >= _PRELUDE.size:
            total, headers, checksum = _PRELUDE.unpack_from(pending)
            if zlib.crc32(pending[: _PRELUDE.size - _CHECKSUM.size]) != checksum or total < _LEAST + headers:
                raise FrameBroken
            if total > EVENT_MAX_BYTES:
                raise EventTooLarge
            if len(pending) < total:
                return
            whole = bytes(memoryview(pending)[:total])
            del pending[:total]
            if (
                zlib.crc32(memoryview(whole)[: -_CHECKSUM.size])
                != _CHECKSUM.unpack_from(whole, total - _CHECKSUM.size)[0]
            ):
                raise FrameBroken
            yield whole

    def rest(self) -> bytes:
        """Nothing: a part of a message says nothing. The buffer is empty afterwards."""
        self.pending.clear()
        return b""


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A whole message; all values of headers are text."""
    packed = b"".join(
        b"%c%b\x07%b%b" % (len(name), name.encode(), len(value.encode()).to_bytes(2, "big"), value.encode())
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", _LEAST + len(packed) + len(payload), len(packed))
    prelude += _CHECKSUM.pack(zlib.crc32(prelude))
    whole = prelude + packed + payload
    return whole + _CHECKSUM.pack(zlib.crc32(whole))


def headers_of(whole: bytes) -> Mapping[bytes, bytes]:
    """The headers of a whole message whose values are text; those behind a malformed one are left out."""
    headers: dict[bytes, bytes] = {}
    at, end = _PRELUDE.size, _headers_end(whole)
    while at < end:
        start = at + 1 + whole[at]
        if start >= end:
            break
        name, kind = whole[at + 1 : start], whole[start]
        at = start + 1
        if kind in (_BYTES, _TEXT):
            at += 2
            size = int.from_bytes(whole[at - 2 : at], "big")
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            break
        if at + size > end:
            break
        if kind == _TEXT:
            headers[name] = whole[at : at + size]
        at += size
    return headers


def payload_of(whole: bytes) -> bytes:
    """The payload of a whole message."""
    return whole[_headers_end(whole) : -_CHECKSUM.size]


def _headers_end(whole: bytes) -> int:
    """Where the payload starts; what is no message at all has neither headers nor payload."""
    if len(whole) < _LEAST:
        return len(whole)
    headers: int = _PRELUDE.unpack_from(whole)[1]
    return min(_PRELUDE.size + headers, len(whole) - _CHECKSUM.size)
