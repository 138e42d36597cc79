"""What a session in another protocol costs: both of its directions as they pass, counted and read.

The bytes are never changed. Whoever ends a session, what was read of it counts: it has no end that would say more.
Without a meter of messages, the client's direction is only measured.
"""

from sidecar.domain.metering import Bill, BodyMeter, Charge, End, Meters, Source
from sidecar.domain.meters.body import MESSAGES, EventsBody, UnreadBody
from sidecar.domain.meters.events import Unfollowable
from sidecar.domain.meters.reader import Reading
from sidecar.domain.meters.websocket import MessageBuffer
from sidecar.domain.progress import Progress


def needs_messages(meters: Meters) -> bool:
    """Whether it measures what only a WebSocket has, and only without compression."""
    return bool(meters.messages) or (meters.reader is not None and meters.reader.open_messages is not None)


class Conversation:
    """Show `up` and `down` each piece of their direction once, in order; then ask `finish`, or any time `so_far`."""

    def __init__(self, bill: Bill) -> None:
        self._bill = bill
        self._counted: Reading = {}
        self._meter = _Meter(bill, self._counted)
        self._up = _Count("client", bill, self._counted)
        self._down = _Count("server", bill, self._counted)

    @property
    def told(self) -> int:
        """How many messages there were that may have reported usage."""
        return self._meter.told

    def up(self, data: bytes) -> None:
        """Bytes of the client."""
        self._meter.said_bytes += len(data)
        self._up.see(data)

    def down(self, data: bytes) -> None:
        """Bytes of the upstream."""
        self._down.see(data)
        self._meter.feed(data)

    def so_far(self, duration_ms: int = 0) -> Progress:
        """What it has cost until now."""
        return self._meter.so_far(duration_ms)

    def finish(self, request_bytes: int, response_bytes: int, duration_ms: int) -> Charge:
        """The charge, whoever ended it. One for a hold is no less than what is known."""
        charge = self._meter.finish(End.COMPLETE, request_bytes, response_bytes, duration_ms)
        if charge.source != Source.HOLD:
            return charge
        least = self.so_far(duration_ms).cost
        return Charge(max(charge.amount, least), charge.usage, charge.source, charge.release, charge.counted)


class _Meter(BodyMeter):
    """Of the upstream's direction; bytes of the client's are told to it."""

    __slots__ = ("said_bytes",)

    def __init__(self, bill: Bill, counted: Reading) -> None:
        reader, estimate = bill.tariff.meters.reader, bill.tariff.estimate
        reads = reader is not None and reader.open_messages is not None
        super().__init__(
            bill, EventsBody(reader, MESSAGES, estimate) if reader and reads else UnreadBody(readable=True), counted
        )
        self.said_bytes = 0

    def so_far(self, duration_ms: int = 0) -> Progress:
        read, written = self._body.read_so_far()
        read = self._measured(read | self._head, self.said_bytes, self._passed, duration_ms)
        return Progress(self._bill, read, written, self._body.final)


class _Count:
    """The messages of one side. What cannot be followed is not counted any further, and so costs what it did."""

    def __init__(self, side: str, bill: Bill, counted: Reading) -> None:
        self._meters = [meter for meter, sender in bill.tariff.meters.messages if sender == side]
        self._counted = counted
        self._counted.update(dict.fromkeys(self._meters, 0))
        self._buffer = MessageBuffer() if self._meters else None

    def see(self, data: bytes) -> None:
        buffer = self._buffer
        if buffer is None:
            return
        try:
            for _ in buffer.add(data):
                pass
        except Unfollowable:
            self._buffer = None
        for meter in self._meters:
            self._counted[meter] = buffer.messages
