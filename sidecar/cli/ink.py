"""Colour for people: only on a terminal, and not with NO_COLOR set (https://no-color.org)."""

import os
from typing import TextIO

import msgspec


class Ink(msgspec.Struct, frozen=True):
    """Marks text when `colour`, else leaves it as it is. Marks have no width: align before marking."""

    colour: bool

    @classmethod
    def of(cls, stream: TextIO) -> "Ink":
        return cls(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")

    def bold(self, text: str) -> str:
        return self._marked("1", text)

    def dim(self, text: str) -> str:
        return self._marked("2", text)

    def good(self, text: str) -> str:
        return self._marked("32", text)

    def bad(self, text: str) -> str:
        return self._marked("31", text)

    def _marked(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text
