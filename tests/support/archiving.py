"""A process that archives and does nothing else, to be killed: `python -m tests.support.archiving STORE ARCHIVE`.

With two more arguments, a point and a number, it kills itself when it comes by there for that time.
"""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from sidecar.archive.archive import Archive
from sidecar.services import archiver as module
from sidecar.services.archiver import Archiver
from sidecar.services.lease import Lease
from sidecar.store.journal import Journal
from sidecar.store.leases import Leases
from tests.support.books import open_lane
from tests.support.lines import ENVIRONMENT, TENANT

LEASE_S = 0.3
POINTS = ("before append", "after append", "after advance")


async def archive_for_ever(store: str, archive_url: str, point: str, count: int) -> None:
    archive, passes = Archive(archive_url), Counter[str]()

    def come_by(where: str) -> None:
        passes[where] += 1
        if (where, passes[where]) == (point, count):
            os.kill(os.getpid(), signal.SIGKILL)

    def between(
        before: str, work: Callable[..., Coroutine[Any, Any, Any]], after: str
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def watched(*arguments: Any) -> Any:
            come_by(before)
            result = await work(*arguments)
            come_by(after)
            return result

        return watched

    await archive.open()
    async with open_lane(store) as lane:
        journal = Journal(lane, tenant=TENANT, environment=ENVIRONMENT)
        watched: Any = archive
        watched.append = between("before append", archive.append, "after append")
        watched = journal
        watched.advance = between("before advance", journal.advance, "after advance")
        leases = Leases(lane, tenant=TENANT, environment=ENVIRONMENT)
        await Lease(leases, "archiver", ttl_s=LEASE_S).run(Archiver(journal, archive).run)


if __name__ == "__main__":
    store_url, archive_address, *where = sys.argv[1:]
    point_name, time = (where[0], int(where[1])) if where else ("", 0)
    module.BATCH = 20
    asyncio.run(archive_for_ever(store_url, archive_address, point_name, time))
