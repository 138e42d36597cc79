"""Header fields as rules see them: looked up by lower-case name, never listed."""

from typing import Protocol, overload


class Fields(Protocol):
    """A mapping is one; so is the head of a message."""

    @overload
    def get(self, name: bytes, /) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: bytes, /) -> bytes: ...
