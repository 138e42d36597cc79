"""Events are dropped when they are too old, and not before."""

from pathlib import Path

from sidecar.archive.archive import Archive
from sidecar.domain.events import EventFilter
from sidecar.domain.journal import Position
from sidecar.services.retention import Retention
from sidecar.tasks import Tasks
from tests.archive.teller import Clock, Teller
from tests.support.until import until, until_async

DAY_MS = 86_400_000


async def test_it_drops_what_is_too_old_while_it_runs(tmp_path: Path) -> None:
    archive, clock = Archive(f"sqlite:///{tmp_path}/archive.db"), Clock()
    now_ms = clock.now_ms

    async def one_is_left() -> bool:
        return len((await archive.events(EventFilter())).items) == 1

    retention = Retention(archive, 2, every_s=0.001, now_ms=lambda: now_ms)
    tasks = Tasks()
    tasks.start(retention.run(), "retention")  # The archive is not open yet: it is tried again.
    await archive.open()
    try:
        teller = Teller(clock)
        await archive.append(3, [teller.grant(5), teller.commit((1, 5))], Position())
        assert await retention.drop() == 0
        assert not await one_is_left()
        now_ms += 2 * DAY_MS + 1
        await until_async(one_is_left, "the old event to be dropped")
    finally:
        retention.close()
        await until(lambda: not len(tasks), "the run to end")
        assert await Retention(archive, 0, now_ms=lambda: 2**52).drop() == 0
        await archive.close()
