"""Chunked bodies (RFC 9112 §7.1): bytes in, payload out; no I/O. What is not exactly the grammar is refused.

A decoder keeps less than one line between two reads, so a body of any size needs constant memory. Chunk extensions
are bounded and dropped; chunks are written anew, so nothing hidden in the framing passes the proxy.
"""

import re

from sidecar.http1.errors import ProtocolError

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;%b(?:=(?:%b|%b))?)*" % (_TOKEN, _TOKEN, _QUOTED))
_PLAIN_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_TRAILER = re.compile(rb"(%b):[ \t]*([\t -~\x80-\xff]*)" % _TOKEN)
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

LINE_MAX_BYTES = 1024
"""A size line with its extensions; nobody needs more, and attackers do (CVE-2023-39326)."""
EXTENSIONS_MAX_BYTES = 16_384
"""All extensions of one body together."""

_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = range(5)


class ChunkDecoder:
    """Reads one chunked body. After `done`, `rest` holds the bytes that follow it."""

    __slots__ = (
        "_extensions",
        "_left",
        "_pending",
        "_state",
        "_trailer_bytes",
        "_trailer_max",
        "done",
        "rest",
        "trailers",
    )

    def __init__(self, trailer_max_bytes: int) -> None:
        self._state = _SIZE
        self._pending = b""
        self._left = 0
        self._extensions = 0
        self._trailer_bytes = 0
        self._trailer_max = trailer_max_bytes
        self.trailers: list[tuple[bytes, bytes]] = []
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes from the connection and return the payload in them.

        Raises:
            ProtocolError: 400; nothing more may be read from this connection.
        """
        if self._pending:
            data, self._pending = self._pending + data, b""
        elif self._state == _SIZE and (line := _PLAIN_SIZE_LINE.match(data)) is not None:
            # Most reads of a stream are one whole chunk; this way it costs half.
            size, start = int(line[1], 16), line.end()
            if size and len(data) == start + size + 2 and data.endswith(b"\r\n"):
                return data[start:-2]
        payload: list[bytes] = []
        position = 0
        while not self.done:
            if self._state == _DATA:
                piece = data[position : position + self._left]
                if not piece:
                    break
                payload.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._state = _DATA_END
            end = self._take_line(data, position)
            if end < 0:
                self._pending = data[position:]
                break
            position = end
        else:
            self.rest = data[position:]
        return payload[0] if len(payload) == 1 else b"".join(payload)

    def _take_line(self, data: bytes, start: int) -> int:
        """Handle the line at `start`; where the next one begins, or -1 when it is not whole yet."""
        end = data.find(b"\r\n", start)
        state = self._state
        if end < 0:
            self._check_partial(data, start)
            return -1
        if state == _SIZE:
            self._read_size(data, start, end)
        elif state == _DATA_END:
            if end != start:
                raise _bad("a chunk is longer than its size")
            self._state = _SIZE
        else:
            self._read_trailer(data, start, end)
        return end + 2

    def _check_partial(self, data: bytes, start: int) -> None:
        """A line that is not whole may already be too long or wrong."""
        length = len(data) - start
        if self._state == _DATA_END and (length > 1 or data[start:] not in (b"", b"\r")):
            raise _bad("a chunk is longer than its size")
        # Its last byte may be the CR.
        if length > (self._trailer_max if self._state == _TRAILERS else LINE_MAX_BYTES + 1):
            raise _bad("a line of its framing is too long")
        if b"\n" in data[start:]:
            raise _bad("a line ends without CR")

    def _read_size(self, data: bytes, start: int, end: int) -> None:
        line = _SIZE_LINE.fullmatch(data, start, end)
        if line is None or end - start > LINE_MAX_BYTES:
            raise _bad("a chunk size is not a hexadecimal number")
        size = line[1]
        self._extensions += end - start - len(size)
        if self._extensions > EXTENSIONS_MAX_BYTES:
            raise _bad("its chunk extensions are too long")
        self._left = int(size, 16)
        self._state = _DATA if self._left else _TRAILERS

    def _read_trailer(self, data: bytes, start: int, end: int) -> None:
        if end == start:
            self._state = _DONE
            self.done = True
            return
        self._trailer_bytes += end - start + 2
        line = _TRAILER.fullmatch(data, start, end)
        if line is None:
            raise _bad("a trailer field is malformed")
        if line[1].lower() in _FRAMING:
            raise _bad("a trailer field says how long it is")
        if self._trailer_bytes > self._trailer_max:
            raise _bad("its trailers are too long")
        self.trailers.append((line[1], line[2].rstrip(b" \t")))


def encode_chunk(payload: bytes) -> bytes:
    """One chunk; `payload` must not be empty, since an empty chunk ends a body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def encode_end(trailers: list[tuple[bytes, bytes]]) -> bytes:
    """The last chunk and the trailers that may follow it."""
    if not trailers:
        return b"0\r\n\r\n"
    lines = b"".join(b"%b: %b\r\n" % field for field in trailers)
    return b"0\r\n%b\r\n" % lines


def _bad(what: str) -> ProtocolError:
    return ProtocolError(400, "bad_request", f"The chunked body is malformed: {what}.")
