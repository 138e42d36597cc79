"""What is watched for, in both databases."""

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import NotFound, VersionConflict
from sidecar.domain.events import EventFilter, EventType
from sidecar.domain.journal import Position
from sidecar.domain.watches import EVERYBODY, WatchKind
from tests.archive.teller import Clock, Teller

KIND = WatchKind.THRESHOLDS


async def put(archive: Archive, customer_id: str, body: bytes, expected: int | None = None) -> int:
    watch = await archive.put_watch(KIND, customer_id, "credits", body, expected=expected, now_ms=7)
    return watch.version


async def test_it_is_written_where_its_version_is_the_expected_one(archive: Archive) -> None:
    assert await put(archive, "cus_a", b'{"amounts":[5]}', 0) == 1
    assert await put(archive, "cus_a", b'{"amounts":[6]}', 1) == 2
    for expected in (0, 1):
        with pytest.raises(VersionConflict):
            await put(archive, "cus_a", b"{}", expected)
    assert await put(archive, "cus_a", b'{"amounts":[7]}') == 3
    (watch,) = await archive.watches(KIND, ["cus_a", "cus_b"])
    assert (watch.body, watch.unit, watch.version, watch.updated_at_ms) == (b'{"amounts":[7]}', "credits", 3, 7)
    with pytest.raises(VersionConflict):
        await archive.remove_watch(KIND, "cus_a", "credits", expected=2, now_ms=8)
    await archive.remove_watch(KIND, "cus_a", "credits", expected=3, now_ms=8)
    with pytest.raises(NotFound):
        await archive.remove_watch(KIND, "cus_a", "credits", expected=None, now_ms=8)
    assert await archive.watches(KIND, ["cus_a"]) == []


async def test_the_next_batch_is_looked_at_with_it(archive: Archive) -> None:
    teller = Teller(Clock())
    after = (await archive.append(3, [teller.grant(100), teller.commit((1, 10))], Position())).position
    await put(archive, EVERYBODY, b'{"amounts":[80,50]}')
    after = (await archive.append(3, [teller.commit((1, 30))], after)).position
    (watch,) = await archive.watches(KIND, [EVERYBODY, "cus_a"])
    assert watch.low == (80,)
    await archive.append(3, [teller.commit((1, 1)), teller.commit((1, 20))], after)
    events = (await archive.events(EventFilter(types=(EventType.CREDITS_LOW_BALANCE,)))).items
    assert [event.data["threshold"] for event in events] == [50, 80]
