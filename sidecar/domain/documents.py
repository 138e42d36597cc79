"""What the operator writes and reads back: control keys, metrics, packages. Not balances."""

import msgspec


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, as it is kept. Within a kind its key is its name."""

    kind: str
    key: str
    version: int
    """1 when it is made, one more at each change; a document that is made again goes on counting."""
    body: bytes
    """JSON."""
    updated_at_ms: int


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed since a point in the order of changes."""

    documents: tuple[Document, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    """Kind and key of each."""
    upto: int = 0
    """Where the next look goes on."""
