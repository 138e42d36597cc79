"""What the operator has written, in memory: documents of the archive, as they were at most half a second ago.

Reading asks nobody, so it works while the archive is away. Writing waits for the archive, and this process sees its
own writes at once. It knows nothing of what the documents say.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import msgspec

from sidecar.archive.archive import Archive
from sidecar.domain.documents import Changes, Document
from sidecar.domain.errors import ArchiveUnavailable

REFRESH_S: Final = 0.5

_encode = msgspec.json.Encoder().encode


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Catalogue:
    """The documents of one tenant's environment. Empty until the first `refresh`."""

    def __init__(
        self, archive: Archive, *, interval_s: float = REFRESH_S, now_ms: Callable[[], int] = _now_ms
    ) -> None:
        self._archive = archive
        self._interval_s = interval_s
        self._now_ms = now_ms
        self._kinds: dict[str, dict[str, Document]] = {}
        self._upto = 0
        self._one_at_a_time = asyncio.Lock()
        self._closing = asyncio.Event()
        self._followers: list[Callable[[], None]] = []
        self.refreshed_at_ms = 0
        """When it was last known to be as the archive has it; 0: never."""

    def follow(self, use: Callable[[], None]) -> None:
        """Call `use` after each change; it must not fail."""
        self._followers.append(use)

    def get(self, kind: str, key: str) -> Document | None:
        """The document, or None."""
        return self._kinds.get(kind, {}).get(key)

    def all(self, kind: str) -> list[Document]:
        """Those of a kind, in the order of their keys."""
        return sorted(self._kinds.get(kind, {}).values(), key=lambda document: document.key)

    async def put(self, kind: str, key: str, body: msgspec.Struct, *, expected: int | None = None) -> Document:
        """Write a document whose version is `expected`; 0: there must be none; None: any.

        Raises Conflict when there must be none and there is one, VersionConflict when it has another version,
        ArchiveUnavailable.
        """
        now_ms = self._now_ms()
        document = await self._archive.put_document(kind, key, _encode(body), expected=expected, now_ms=now_ms)
        await self._look()
        return document

    async def remove(self, kind: str, key: str, *, expected: int | None = None) -> None:
        """Remove a document. Raises NotFound, VersionConflict, ArchiveUnavailable."""
        await self._archive.remove_document(kind, key, expected=expected, now_ms=self._now_ms())
        await self._look()

    async def refresh(self) -> None:
        """Take over what has changed. Raises ArchiveUnavailable; what is known stays."""
        async with self._one_at_a_time:
            self._take(await self._archive.changed_documents(self._upto))
            self.refreshed_at_ms = self._now_ms()

    async def run(self) -> None:
        """Refresh until `close`. While the archive is away, what is known stays."""
        while not self._closing.is_set():
            await self._look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._interval_s)

    def close(self) -> None:
        """Let `run` end after the look that it is at: a cancelled one leaves its connection to be cleared away."""
        self._closing.set()

    async def _look(self) -> None:
        # What was written is written, even if the archive goes away in the next instant.
        with contextlib.suppress(ArchiveUnavailable):
            await self.refresh()

    def _take(self, changes: Changes) -> None:
        for document in changes.documents:
            self._kinds.setdefault(document.kind, {})[document.key] = document
        for kind, key in changes.removed:
            self._kinds.get(kind, {}).pop(key, None)
        if changes.upto != self._upto:
            self._upto = changes.upto
            for use in self._followers:
                use()
