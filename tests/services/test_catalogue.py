"""The operator's documents in memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import ArchiveUnavailable, VersionConflict
from sidecar.services.catalogue import Catalogue
from sidecar.tasks import Tasks
from tests.support.archives import new_archive


class Package(msgspec.Struct):
    credits: int


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(new_archive(tmp_path))
    await archive.open()
    yield archive
    await archive.close()


async def test_a_process_sees_its_own_writes_at_once(archive: Archive) -> None:
    catalogue, told = Catalogue(archive, now_ms=lambda: 5), list[int]()
    catalogue.follow(lambda: told.append(len(catalogue.all("package"))))
    await catalogue.put("package", "b", Package(2), expected=0)
    made = await catalogue.put("package", "a", Package(1))
    assert catalogue.get("package", "a") == made
    assert (made.version, made.body, made.updated_at_ms) == (1, b'{"credits":1}', 5)
    assert [each.key for each in catalogue.all("package")] == ["a", "b"]
    await catalogue.remove("package", "b", expected=1)
    assert catalogue.get("package", "b") is None
    assert (catalogue.get("metric", "a"), catalogue.all("metric")) == (None, [])
    assert told == [1, 2, 1]
    with pytest.raises(VersionConflict):
        await catalogue.put("package", "a", Package(3), expected=2)


async def test_others_see_it_soon(archive: Archive) -> None:
    ours, theirs, seen = Catalogue(archive), Catalogue(archive, interval_s=0.01), asyncio.Event()
    theirs.follow(seen.set)
    following = Tasks()
    following.start(theirs.run(), "catalogue")
    await ours.put("package", "a", Package(1))
    async with asyncio.timeout(10):
        await seen.wait()
    assert theirs.all("package") == ours.all("package")
    theirs.close()
    assert await following.join(10)


async def test_what_is_known_stays_while_the_archive_is_away(archive: Archive) -> None:
    catalogue = Catalogue(archive, interval_s=0.001)
    await catalogue.put("package", "a", Package(1))
    at = catalogue.refreshed_at_ms
    await archive.close()
    with pytest.raises(ArchiveUnavailable):
        await catalogue.put("package", "b", Package(1))
    with pytest.raises(ArchiveUnavailable):
        await catalogue.refresh()
    following = Tasks()
    following.start(catalogue.run(), "catalogue")
    await asyncio.sleep(0)
    seen = asyncio.Event()
    catalogue.follow(seen.set)
    await archive.open()
    await Catalogue(archive).put("package", "c", Package(1))
    async with asyncio.timeout(10):
        await seen.wait()
    assert catalogue.get("package", "a") is not None
    assert catalogue.refreshed_at_ms >= at
    catalogue.close()
    assert await following.join(10)
