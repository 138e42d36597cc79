"""Writes down who changed what: before it is answered, if the archive is there; else as soon as it is back.

Writes that come together are written together. What waits for the archive is in the log too, so that a process that
dies meanwhile takes nothing with it that nobody can find.
"""

import asyncio
import contextlib
import logging
from collections import deque
from itertools import islice
from typing import Final

import msgspec

from sidecar.archive.archive import Archive
from sidecar.domain.audit import Audited, AuditFilter
from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.history import Page

WAITING_MAX: Final = 10_000
"""Records that wait for the archive; what comes beyond it is in the log only."""

AT_ONCE: Final = 500
RETRY_S: Final = 1.0

log = logging.getLogger("sidecar.audit")


class AuditTrail:
    """The audit log of one tenant's environment. `timeout_s`: how long an answer waits for it at most."""

    def __init__(self, archive: Archive, *, timeout_s: float, retry_s: float = RETRY_S) -> None:
        self._archive = archive
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._waiting: deque[tuple[Audited, asyncio.Future[bool]]] = deque()
        self._come = asyncio.Event()
        self._closing = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Records that are not in the archive yet."""
        return len(self._waiting)

    async def record(self, record: Audited) -> None:
        """Return when it is written, or when that fails or takes too long: what it says has happened in any case."""
        written = asyncio.get_running_loop().create_future()
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((record, written))
            self._come.set()
            with contextlib.suppress(TimeoutError):
                if await asyncio.wait_for(written, self._timeout_s):
                    return
        log.warning("not in the archive yet: %s", msgspec.json.encode(record).decode())

    async def page(self, wanted: AuditFilter, cursor: str | None, limit: int) -> Page[Audited]:
        """The newest first. Raises ArchiveUnavailable; InvalidInput for a cursor that is none."""
        return await self._archive.audited(wanted, cursor, limit)

    async def run(self) -> None:
        """Write what comes, until `close` and once more then. While the archive is away, try again."""
        while not self._closing.is_set():
            await self._come.wait()
            self._come.clear()
            if not await self._write():
                self._come.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), self._retry_s)

    def close(self) -> None:
        self._closing.set()
        self._come.set()

    async def _write(self) -> bool:
        """Everything that waits; False when the archive could not take it."""
        while batch := list(islice(self._waiting, AT_ONCE)):
            try:
                await self._archive.append_audited([record for record, _ in batch])
            except ArchiveUnavailable:
                for _, written in self._waiting:
                    _tell(written, it_is=False)
                return False
            for _ in batch:
                _, written = self._waiting.popleft()
                _tell(written, it_is=True)
        return True


def _tell(written: asyncio.Future[bool], *, it_is: bool) -> None:
    if not written.done():
        written.set_result(it_is)
