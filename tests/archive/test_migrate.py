"""Migration: forward, once, together, and never from a newer program's database."""

import asyncio

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.errors import ArchiveUnavailable, StartupError
from sidecar.domain.journal import Position
from tests.archive.databases import query, run
from tests.archive.teller import Clock, Teller


async def test_opening_again_changes_nothing(archive: Archive, archive_url: str, database: Database) -> None:
    await archive.append(3, [Teller(Clock()).grant(5)], Position())
    again = Archive(archive_url)
    await again.open()
    assert [entry.delta async for entry in again.export()] == [5]
    await again.close()
    assert await query(database, "SELECT version_num FROM alembic_version") == [("0009",)]


async def test_many_may_open_an_empty_database_at_once(empty_url: str) -> None:
    archives = [Archive(empty_url) for _ in range(5)]
    await asyncio.gather(*(archive.open() for archive in archives))
    assert await archives[0].positions() == {}
    for archive in archives:
        await archive.close()


async def test_a_newer_database_is_refused(archive: Archive, archive_url: str, database: Database) -> None:
    await run(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(
        StartupError, match=r"newer version .* 9999, this program knows up to 0009.*update the program"
    ):
        await Archive(archive_url).open()
    assert await query(database, "SELECT version_num FROM alembic_version") == [("9999",)]


async def test_the_archive_of_another_environment_is_refused(archive: Archive, archive_url: str) -> None:
    with pytest.raises(StartupError, match="keeps the ledger of default/live, not of acme/live"):
        await Archive(archive_url, tenant="acme").open()
    await archive.open()


async def test_a_step_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    engine = create_async_engine(
        empty_url.replace("sqlite:", "sqlite+aiosqlite:").replace("postgresql:", "postgresql+asyncpg:")
    )
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE customers (ours integer)"))
    with pytest.raises(ArchiveUnavailable, match=r"customers.* already exists"):
        await Archive(empty_url).open()
    async with engine.begin() as connection:
        names = await connection.run_sync(lambda connection: inspect(connection).get_table_names())
    await engine.dispose()
    assert names == ["customers"]
