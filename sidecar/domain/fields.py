"""Header fields as rules see them: looked up by lower-case name, never listed. Trailers are few, so they are."""

from collections.abc import Sequence
from typing import Protocol, overload

Trailers = Sequence[tuple[bytes, bytes]]
"""Name, in any capitals, and value of each trailer field."""


class Fields(Protocol):
    """A mapping is one; so is the head of a message."""

    @overload
    def get(self, name: bytes, /) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: bytes, /) -> bytes: ...
