"""Durations of a rule file: a whole number and a unit, such as 500ms, 10m or 7d, each place with its own bounds."""

import re
from dataclasses import dataclass

from sidecar.config.cursor import Cursor

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PARTS = re.compile(r"([0-9]+)([a-z]+)\Z", re.ASCII)


@dataclass(frozen=True)
class Duration:
    """What may be written in one place. `most` is the longest; `like` are two examples for whoever got it wrong.

    `too_long` and `instead` say in its problem what is wrong with more than `most`, and what would be right.
    """

    units: tuple[str, ...]
    most: str
    like: str
    too_long: str = "is too long"
    instead: str = ""

    @property
    def text(self) -> str:
        """A regular expression for it, without an end."""
        return rf"[1-9][0-9]{{0,4}}(?:{'|'.join(self.units)})"

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the whole text must match."""
        return re.compile(rf"{self.text}\Z", re.ASCII)

    @property
    def most_ms(self) -> int:
        """The longest."""
        return _milliseconds(self.most)

    def read_ms(self, cursor: Cursor) -> int:
        """Milliseconds; 0 beside a problem with the text itself."""
        text = cursor.text(f"how long, such as {self.like}")
        if text is None:
            return 0
        if not self.pattern.match(text):
            units = f"{', '.join(self.units[:-1])} or {self.units[-1]}"
            cursor.problem(f"`{text}` is not a duration", f"a whole number with {units}, such as {self.like}")
            return 0
        return self.bounded_ms(cursor, text)

    def read_s(self, cursor: Cursor) -> int:
        """The same in seconds, for units of at least one."""
        return self.read_ms(cursor) // 1000

    def bounded_ms(self, cursor: Cursor, text: str) -> int:
        """Milliseconds of a text that matches; a problem when they are too many."""
        span_ms = _milliseconds(text)
        if span_ms > self.most_ms:
            cursor.problem(f"`{text}` {self.too_long}", self.instead or f"{self.most} at most")
        return span_ms


def _milliseconds(text: str) -> int:
    parts = _PARTS.match(text)
    assert parts, text
    return int(parts[1]) * _UNITS_MS[parts[2]]
