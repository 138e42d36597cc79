"""Whoever archives may be killed at any point: at the end, the archive has every line once, and in order."""

import asyncio
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.journal import Position, entry_id
from sidecar.services import archiver as module
from sidecar.services.archiver import Archiver
from sidecar.store.journal import Journal
from tests.support.archiving import POINTS
from tests.support.books import open_lane
from tests.support.lines import ENVIRONMENT, TENANT, write_grants
from tests.support.process import ROOT
from tests.support.store import StoreServer
from tests.support.until import until

PARTITIONS = (3, 31)
ROUNDS = 5
LINES = 150


class Crime:
    """A store, an archive, and what was written."""

    def __init__(self, store: StoreServer, path: Path) -> None:
        self.store = store
        self.path = path
        self.url = f"sqlite:///{path}"
        self.written: dict[int, list[Position]] = {partition: [] for partition in PARTITIONS}

    async def write(self) -> None:
        with self.store.client() as client:
            for partition in PARTITIONS:
                first = len(self.written[partition]) + 1
                self.written[partition] += await asyncio.to_thread(
                    write_grants, client, partition, LINES, first=first
                )

    @asynccontextmanager
    async def process(self, *point: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process that archives, and is killed at the end if it has not killed itself."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.archiving", self.store.url, self.url, *point, cwd=ROOT
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            assert await process.wait() == -signal.SIGKILL

    def archived(self) -> list[str]:
        """The ids of the entries that are in the archive now."""
        with closing(sqlite3.connect(self.path)) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
                return []
            return [row[0] for row in database.execute("SELECT entry_id FROM entries ORDER BY entry_id")]

    def has(self, count: int) -> bool:
        """Whether so many entries are in the archive."""
        return len(self.archived()) >= count

    def anomalies(self) -> int:
        with closing(sqlite3.connect(self.path)) as database:
            (count,) = database.execute("SELECT count(*) FROM anomalies").fetchone()
            return int(count)

    @property
    def expected(self) -> list[str]:
        return sorted(
            entry_id(partition, each) for partition, positions in self.written.items() for each in positions
        )

    async def finish(self) -> None:
        """Archive what is left in this process, and compare."""
        archive = Archive(self.url)
        await archive.open()
        try:
            async with open_lane(self.store.url) as lane:
                journal = Journal(lane, tenant=TENANT, environment=ENVIRONMENT)
                archiver = Archiver(journal, archive)
                assert await archiver.drain(60)
                assert sum(await journal.lengths()) == 0
                assert await journal.archived_all(PARTITIONS) == [self.written[each][-1] for each in PARTITIONS]
                assert archiver.behind == {}
        finally:
            await archive.close()
        assert self.archived() == self.expected
        assert self.anomalies() == 0


@pytest.fixture
def crime(shared_store: StoreServer, store_url: str, tmp_path: Path) -> Crime:
    return Crime(shared_store, tmp_path / "archive.sqlite")


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point(crime: Crime, point: str) -> None:
    for count in ("1", "2"):
        await crime.write()
        async with crime.process(point, count) as process:
            await process.wait()
    await crime.finish()


async def test_killed_at_any_moment(crime: Crime) -> None:
    chance = random.Random(7)
    for _ in range(ROUNDS):
        await crime.write()
        enough = len(crime.archived()) + chance.randrange(1, 2 * LINES)
        async with crime.process():
            await until(partial(crime.has, enough), "some of it to be archived")
    await crime.finish()


async def test_two_processes_at_once_and_one_is_killed(crime: Crime) -> None:
    await crime.write()
    async with crime.process() as one, crime.process():
        await crime.write()
        await until(crime.archived, "one to archive")
        await crime.write()
        one.kill()
        await one.wait()
        await until(lambda: crime.archived() == crime.expected, "the other one to archive all that is left")
    await crime.finish()


async def test_no_lease_keeps_two_from_being_right(crime: Crime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both archive at the same time, in batches of a few lines, into one database."""
    monkeypatch.setattr(module, "BATCH", 7)
    one, two = Archive(crime.url), Archive(crime.url)
    await one.open()
    await two.open()
    try:
        async with open_lane(crime.store.url) as lane, open_lane(crime.store.url) as other:
            archivers = [
                Archiver(Journal(each, tenant=TENANT, environment=ENVIRONMENT), archive)
                for each, archive in ((lane, one), (other, two))
            ]
            await crime.write()
            assert all(await asyncio.gather(*(each.drain(60) for each in archivers)))
            assert sum(each.archived_total for each in archivers) == len(crime.expected)
            assert [each.behind for each in archivers] == [{}, {}]
    finally:
        await one.close()
        await two.close()
    await crime.finish()
