"""The text of an answer: what a model has written, without the JSON around it, for estimates of its tokens.

Most streams report their usage in the end, and most readers of a stream never ask for less: so events are only kept
until they are many, or until somebody asks. Then a search finds what stands where it usually stands; only events of
which that is not all are decoded, which takes four times as long.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from sidecar.domain.estimates import Estimate, Tally

KEPT_MAX_BYTES = 16_384
DONE = b"[DONE]"
"""The last event of many APIs, and no JSON."""

TextOf = Callable[[bytes], str | None]
"""The text in one JSON answer, or in the data of one event; None for what cannot be read."""

TEXT = rb'([^"\\]*(?:\\.[^"\\]*)*)'
"""The inside of a JSON string, as a group of a pattern."""


class PlainText:
    """Where the text of a stream usually stands: `pattern` has it as its group, one for each `mark` in the events."""

    __slots__ = ("_find", "_mark", "_search")

    def __init__(self, pattern: bytes, mark: bytes) -> None:
        compiled = re.compile(pattern, re.DOTALL)
        self._find = compiled.findall
        self._search = compiled.search
        self._mark = mark

    def around(self, event: bytes) -> tuple[bytes, bytes] | None:
        """What stands before and behind the text of an event that has it in one usual place."""
        found = self._search(event)
        if found is None or event.count(self._mark) != 1:
            return None
        return event[: found.start(1)], event[found.end(1) :]

    def in_(self, events: bytes) -> bytes | None:
        """All text of `events`; None when some of it may stand elsewhere."""
        found = self._find(events)
        if not found or len(found) != events.count(self._mark):
            return None
        text = b"".join(found)
        if text.find(b"\\") < 0:
            return text
        try:
            return msgspec.json.decode(b'"%b"' % text, type=str).encode()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None


class Text:
    """Estimates the tokens of the text in a stream's events."""

    __slots__ = ("_data_of", "_events_in", "_kept", "_plain", "_room", "_tally", "_text_of")

    def __init__(
        self,
        estimate: Estimate,
        text_of: TextOf,
        events_in: Callable[[bytes], Iterable[bytes]],
        data_of: Callable[[bytes], bytes],
        plain: PlainText | None = None,
    ) -> None:
        """`events_in` cuts a piece of whole events into single ones; `data_of` is what `text_of` reads of one."""
        self._tally = Tally(estimate)
        self._text_of = text_of
        self._events_in = events_in
        self._data_of = data_of
        self._plain = plain
        self._kept: list[bytes] = []
        self._room = KEPT_MAX_BYTES

    def keep(self, events: bytes) -> None:
        """A piece of the stream: one or more whole events."""
        self._kept.append(events)
        self._room -= len(events)
        if self._room < 0:
            self._read()

    @property
    def tokens(self) -> int:
        """The tokens of all text until now."""
        if self._kept:
            self._read()
        return self._tally.tokens

    def _read(self) -> None:
        kept, self._kept, self._room = self._kept, [], KEPT_MAX_BYTES
        text = self._plain.in_(b"".join(kept)) if self._plain is not None else None
        self._tally.add(self._decoded(kept) if text is None else text)

    def _decoded(self, kept: list[bytes]) -> bytes:
        """The text of pieces, event by event; an event that is not of this API counts with all that it carries."""
        texts: list[bytes] = []
        for piece in kept:
            for event in self._events_in(piece):
                data = self._data_of(event)
                text = self._text_of(data)
                if text is not None:
                    texts.append(text.encode())
                elif data != DONE:
                    texts.append(data)
        return b"".join(texts)


def joined(parts: Iterable[Any]) -> str:
    """Parts of an answer as one text: texts as they are, anything else as the JSON that it is."""
    return "".join(part if type(part) is str else msgspec.json.encode(part).decode() for part in parts if part)
