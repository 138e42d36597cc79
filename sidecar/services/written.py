"""Read your writes: waits until the archive has what the journal had at a given place.

The archiver of this process says at once what it has archived; whatever another process archives is seen in the
marks that lie beside the journals, by one look for all who wait.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

from sidecar.domain.errors import ArchiveUnavailable, StoreError
from sidecar.domain.journal import Position
from sidecar.store.journal import START, Journal
from sidecar.tasks import Tasks

LOOK_S = 0.02
ASSIST_S = 0.3
"""So long a healthy worker never needs."""

_Waiter = tuple[Position, "asyncio.Future[None]"]


class Written:
    """`nudge` is called when somebody begins to wait: the archiver of this process need not let time pass.

    `assist` archives what is there, whoever is the worker, which is harmless. It is called when somebody waits for
    `ASSIST_S`: the worker may have died a moment ago, and nobody knows it yet.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        tasks: Tasks,
        timeout_s: float = 2.0,
        nudge: Callable[[], None] = lambda: None,
        assist: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._journal = journal
        self._tasks = tasks
        self._timeout_s = timeout_s
        self._nudge = nudge
        self._assist = assist
        self._passed: dict[int, Position] = {}
        self._waiting: defaultdict[int, list[_Waiter]] = defaultdict(list)
        self._looking: asyncio.Task[None] | None = None

    def passed(self, partition: int, position: Position) -> None:
        """The archive has everything of `partition` up to `position`."""
        if position <= self._passed.get(partition, START):
            return
        self._passed[partition] = position
        for wanted, waiter in self._waiting.get(partition, ()):
            if wanted <= position and not waiter.done():
                waiter.set_result(None)

    async def archived_upto(self, positions: Mapping[int, Position]) -> None:
        """Return when the archive has passed each partition's position.

        Raises ArchiveUnavailable when it has not within the time; what was written before stays written.
        """
        behind = {
            partition: position
            for partition, position in positions.items()
            if position > self._passed.get(partition, START)
        }
        if behind:
            self._nudge()
            await self._wait(behind)

    async def everything(self) -> None:
        """`archived_upto` all that is in the journals now. Raises StoreError too."""
        await self.archived_upto(dict(enumerate(await self._journal.tails())))

    async def everything_of(self, customer_id: str) -> None:
        """The same for one customer's partition."""
        partition = self._journal.partition(customer_id)
        await self.archived_upto({partition: await self._journal.tail(partition)})

    async def _wait(self, behind: dict[int, Position]) -> None:
        loop = asyncio.get_running_loop()
        waiters = {partition: (position, loop.create_future()) for partition, position in behind.items()}
        for partition, waiter in waiters.items():
            self._waiting[partition].append(waiter)
        if self._looking is None or self._looking.done():
            self._looking = self._tasks.start(self._look(), "archive marks")
        try:
            _, pending = await asyncio.wait([future for _, future in waiters.values()], timeout=self._timeout_s)
        finally:
            for partition, waiter in waiters.items():
                self._waiting[partition].remove(waiter)
                if not self._waiting[partition]:
                    del self._waiting[partition]
        if pending:
            raise ArchiveUnavailable(
                f"The archive is behind and did not catch up within {self._timeout_s:g} s. What was written is kept "
                "and will be archived; repeat this request in a few seconds, a write with the same Idempotency-Key."
            )

    async def _look(self) -> None:
        now = asyncio.get_running_loop().time
        assist_at = now() + ASSIST_S
        while self._waiting:
            partitions = list(self._waiting)
            with contextlib.suppress(StoreError, ArchiveUnavailable):
                if self._assist is not None and now() >= assist_at:
                    assist_at = now() + ASSIST_S
                    await self._assist()
                marks = await self._journal.archived_all(partitions)
                for partition, mark in zip(partitions, marks, strict=True):
                    self.passed(partition, mark)
            await asyncio.sleep(LOOK_S)
