"""What a meter does with the pieces of one answer's body: nothing, keep it for JSON, or follow its events.

A body never fails and never delays: whatever is wrong with the answer, its bytes pass on. The exception is
`openai_chat.HidingBody`, which holds back the part of an event that has arrived until the event is whole.
"""

from collections.abc import Callable
from typing import Protocol

from sidecar.domain.meters.codings import CodingError, Inflater
from sidecar.domain.meters.events import BLANK_LINES, EventBuffer, EventTooLarge, data_of
from sidecar.domain.meters.reader import Reading, StreamReading

JSON_MAX_BYTES = 4_194_304


class Body(Protocol):
    """`feed` gets each piece once, in order, and returns what to pass on; `flush` what is held back at the end.

    `result` is what was read, and whether that is all: `whole` says that the answer came to its end.
    `failed`: the answer itself reported an error.
    """

    @property
    def failed(self) -> bool: ...

    def feed(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...

    def result(self, *, whole: bool) -> tuple[Reading, bool]: ...


class UnreadBody:
    """Nothing is read from it; `readable` says whether anything should have been."""

    failed = False

    def __init__(self, *, readable: bool) -> None:
        self._readable = readable

    def feed(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""

    def result(self, *, whole: bool) -> tuple[Reading, bool]:  # noqa: ARG002 - the face of `Body`
        return {}, self._readable


class JsonBody:
    """Keeps a JSON answer of at most `JSON_MAX_BYTES`, decoded, and reads it at the end."""

    failed = False

    def __init__(self, read: Callable[[bytes], Reading | None], inflater: Inflater | None) -> None:
        self._read = read
        self._inflater = inflater
        self._pieces: list[bytes] = []
        self._budget = JSON_MAX_BYTES

    def feed(self, data: bytes) -> bytes:
        if self._budget < 0:
            return data
        if self._inflater is None:
            self._keep(data)
            return data
        try:
            for text in self._inflater.decode(data):
                self._keep(text)
                if self._budget < 0:
                    break
        except CodingError:
            self._give_up()
        return data

    def flush(self) -> bytes:
        return b""

    def result(self, *, whole: bool) -> tuple[Reading, bool]:  # noqa: ARG002 - what decodes was whole
        reading = self._read(b"".join(self._pieces)) if self._budget >= 0 else None
        return (reading, True) if reading is not None else ({}, False)

    def _keep(self, text: bytes) -> None:
        self._budget -= len(text)
        if self._budget < 0:
            self._give_up()
        else:
            self._pieces.append(text)

    def _give_up(self) -> None:
        self._budget = -1
        self._pieces.clear()


class EventsBody:
    """Follows an event stream; an event without a needle costs one search of its piece."""

    def __init__(self, reading: StreamReading, needles: tuple[bytes, ...], inflater: Inflater | None) -> None:
        self._reading = reading
        self._needles = needles
        self._inflater = inflater
        self._buffer = EventBuffer()
        self._broken = False

    @property
    def failed(self) -> bool:
        return self._reading.failed

    def feed(self, data: bytes) -> bytes:
        if self._broken:
            return data
        try:
            if self._inflater is None:
                self._follow(data)
            else:
                for text in self._inflater.decode(data):
                    self._follow(text)
        except (CodingError, EventTooLarge):
            self._broken = True
            self._buffer.rest()
        return data

    def flush(self) -> bytes:
        return b""

    def result(self, *, whole: bool) -> tuple[Reading, bool]:
        # A last event may lack its blank line, or the server its `[DONE]`: what it says still counts.
        self._examine(self._buffer.rest())
        reading = self._reading
        return reading.usage, reading.final or (whole and reading.seen and not self._broken)

    def _follow(self, text: bytes) -> None:
        if not self._buffer.pending and text.endswith(BLANK_LINES):
            for needle in self._needles:
                if needle in text:
                    break
            else:
                return
        for event in self._buffer.add(text):
            self._examine(event)

    def _examine(self, event: bytes) -> None:
        for needle in self._needles:
            if needle in event:
                self._reading.read(data_of(event))
                return
