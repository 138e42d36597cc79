"""One worker at a time: whoever has the lease works, the others stand by.

A lease saves work; it makes nothing safe. A process that is stopped for longer than its lease lasts goes on for a
moment beside its successor, so whatever runs under a lease must be harmless twice.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine

from sidecar.domain.errors import StoreError
from sidecar.store.leases import Leases
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.lease")

WORKER = "worker"
"""The lease of whoever sweeps and archives."""
POLLING = "polling"
"""The lease of whoever asks for jobs."""
TTL_S = 3.0
"""So long after the death of a worker another one takes over; a wait for the archive fails meanwhile."""

Work = Callable[[], Coroutine[None, None, None]]


class Lease:
    """The lease `name` of this process. `held` says whether it works now."""

    def __init__(self, leases: Leases, name: str, *, ttl_s: float = TTL_S) -> None:
        self._leases = leases
        self._name = name
        self._ttl_s = ttl_s
        self._token = secrets.token_hex(16)
        self._until = 0.0
        self._tasks = Tasks()
        self.held = False

    async def run(self, work: Work) -> None:
        """Do `work`, which does not end by itself, whenever the lease is ours, until this is cancelled.

        It is cancelled when the lease is another's, or could not be kept in time; what it raises is logged, and it
        is begun again. At the end the lease is given back.
        """
        try:
            while True:
                if await self._keep():
                    await self._do(work)
                await asyncio.sleep(self._ttl_s / 3)
        finally:
            with contextlib.suppress(StoreError):
                await self._leases.give_back(self._name, self._token)

    async def _do(self, work: Work) -> None:
        self.held = True
        log.debug("the lease %s is ours", self._name)
        task = self._tasks.start(work(), self._name)
        now = asyncio.get_running_loop().time
        try:
            while True:
                await asyncio.wait((task,), timeout=max(0.0, min(self._ttl_s / 3, self._until - now())))
                if task.done():
                    return
                if not await self._keep():
                    log.warning("the lease %s is lost; whoever has it goes on with the work", self._name)
                    return
        finally:
            self.held = False
            await self._tasks.cancel()

    async def _keep(self) -> bool:
        """Take or renew; while the store does not answer, ours is what was taken and has not run out."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(self._until if self.held else None):
                taken = await self._leases.take(self._name, self._token, round(self._ttl_s * 1000))
        except (StoreError, TimeoutError):
            return loop.time() < self._until
        self._until = asked_at + self._ttl_s if taken else 0.0
        return taken
