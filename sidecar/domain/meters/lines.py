"""Lines cut out of a byte stream, one JSON text on each (NDJSON, JSON Lines), however it was split on its way."""

from collections.abc import Iterator

from sidecar.domain.meters.events import EVENT_MAX_BYTES, EventTooLarge


class LineBuffer:
    """Collects pieces and gives out whole lines, each with the LF that ends it."""

    __slots__ = ("_scanned", "pending")

    def __init__(self) -> None:
        self.pending = bytearray()
        self._scanned = 0

    def add(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes; EventTooLarge."""
        pending = self.pending
        pending += data
        while (end := pending.find(b"\n", self._scanned)) >= 0:
            line = bytes(memoryview(pending)[: end + 1])
            del pending[: end + 1]
            self._scanned = 0
            yield line
        self._scanned = len(pending)
        if len(pending) > EVENT_MAX_BYTES:
            raise EventTooLarge

    def rest(self) -> bytes:
        """What no LF has ended; the buffer is empty afterwards."""
        rest = bytes(self.pending)
        self.pending.clear()
        self._scanned = 0
        return rest
