"""Balances without news are asked for by whoever works, and by nobody else."""

from pathlib import Path

import msgspec

from sidecar.archive.archive import Archive
from sidecar.domain.auto_topups import AutoTopup, RequestFilter
from sidecar.domain.journal import Position
from sidecar.domain.watches import WatchKind
from sidecar.services.topup_asking import TopupAsking
from sidecar.tasks import Tasks
from tests.archive.teller import Clock, Teller
from tests.support.until import until, until_async

RULE = AutoTopup(threshold=50, package_id="small", max_per_day=None, max_per_month=None, cool_down_s=60)


async def test_it_asks_while_it_is_the_one_that_works(tmp_path: Path) -> None:
    archive, tasks, asked = Archive(f"sqlite:///{tmp_path}/archive.db"), Tasks(), list[bool]()
    works = False

    def looked() -> bool:
        asked.append(works)
        return works

    async def one_is_asked_for() -> bool:
        return len((await archive.topup_requests(RequestFilter())).items) == 1

    asking = TopupAsking(archive, works=looked, every_s=0.001)
    await archive.open()
    try:
        teller = Teller(Clock())
        customer = teller.record("customer", external_id="a", status="active")
        await archive.append(3, [customer, teller.grant(5)], Position())
        body = msgspec.json.encode(RULE)
        await archive.put_watch(WatchKind.AUTO_TOPUP, "cus_a", "credits", body, expected=None, now_ms=1)
        tasks.start(asking.run(), "asking")
        await until(lambda: len(asked) > 2, "some looks")
        assert not await one_is_asked_for()
        works = True
        await until_async(one_is_asked_for, "a request")
    finally:
        asking.close()
        await until(lambda: not len(tasks), "the run to end")
        await archive.close()
