"""Background tasks that are kept, named and reported: the loop itself keeps only weak references."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("sidecar.tasks")


class Tasks:
    """Owns every task started through it; a task that fails is logged, never lost in silence."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)

    async def join(self, timeout_s: float) -> bool:
        """Wait until all have ended; False when `timeout_s` was not enough."""
        if not self._running:
            return True
        _, pending = await asyncio.wait(self._running, timeout=timeout_s)
        return not pending

    async def cancel(self) -> None:
        """End what is left and wait for it."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
