"""Server-sent events cut out of a byte stream (WHATWG HTML §9.2), however it was split on its way."""

from collections.abc import Iterator

BLANK_LINES = (b"\n\n", b"\r\n\r\n")
"""What the last bytes of a piece are when it ends with an event, for every server that exists."""

_LF, _CR = 0x0A, 0x0D
_BLANKS = (b"\n\n", b"\n\r", b"\r\r")
"""How a blank line begins: the end of a line and of an empty one; a CR as the second may still get its LF."""

EVENT_MAX_BYTES = 4_194_304


class Unfollowable(Exception):
    """What comes cannot be cut into events any more."""


class EventTooLarge(Unfollowable):
    """An event is larger than `EVENT_MAX_BYTES`."""


class EventBuffer:
    """Collects pieces and gives out whole events, each with the blank line that ends it.

    Lines end with LF, CR LF or CR. A CR at the end of what has arrived waits for the byte after it, since that may be
    its LF: so the same events come out however the bytes were split.
    """

    __slots__ = ("_scanned", "pending")

    def __init__(self) -> None:
        self.pending = bytearray()
        self._scanned = 0

    def add(self, data: bytes) -> Iterator[bytes]:
        """The events that `data` completes; EventTooLarge."""
        pending = self.pending
        pending += data
        while (end := self._end(pending)) >= 0:
            event = bytes(memoryview(pending)[:end])
            del pending[:end]
            self._scanned = 0
            yield event
        self._scanned = max(len(pending) - 2, 0)
        if len(pending) > EVENT_MAX_BYTES:
            raise EventTooLarge

    def rest(self) -> bytes:
        """What no blank line has ended; the buffer is empty afterwards."""
        rest = bytes(self.pending)
        self.pending.clear()
        self._scanned = 0
        return rest

    def _end(self, pending: bytearray) -> int:
        start = self._scanned
        blanks = _BLANKS if pending.find(b"\r", start) >= 0 else _BLANKS[:1]
        found = [at for at in (pending.find(blank, start) for blank in blanks) if at >= 0]
        if not found:
            return -1
        end = min(found) + 2
        if pending[end - 1] == _CR:
            if end == len(pending):
                return -1
            end += pending[end] == _LF
        return end


def events_in(piece: bytes) -> Iterator[bytes]:
    """The events of a piece that ends with one."""
    if piece.find(b"\r") < 0:
        yield from piece.rstrip(b"\n").split(b"\n\n")
        return
    buffer = EventBuffer()
    yield from buffer.add(piece)
    yield buffer.rest()


def data_of(event: bytes) -> bytes:
    """The data of one event, its lines joined by LF."""
    line = event[6:].rstrip(b"\r\n")
    if event.startswith(b"data: ") and b"\n" not in line and b"\r" not in line:
        return line
    return b"\n".join(line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:"))


def type_of(event: bytes) -> bytes:
    """The type of one event as its ``event:`` line says; the standard calls one without such a line a message."""
    if not event.startswith(b"event:") and event.find(b"\nevent:") < 0 and event.find(b"\revent:") < 0:
        return b"message"
    types = [line[6:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"event:")]
    return types[-1] or b"message"
