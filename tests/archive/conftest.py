"""Every test of the archive runs on both databases: one server for the session, a fresh database for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from tests.archive.databases import database_at
from tests.support.archives import new_archive
from tests.support.postgresql import PostgresServer, find_binaries


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    server = PostgresServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Of database."""
    return str(request.param)


@pytest.fixture
def empty_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server: PostgresServer = request.getfixturevalue("postgresql")
    return server.database()


@pytest.fixture
def archive_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An archive without a line."""
    if kind == "sqlite":
        return new_archive(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgresql")
    return server.archive()


@pytest.fixture
async def archive(archive_url: str) -> AsyncIterator[Archive]:
    archive = Archive(archive_url)
    await archive.open()
    yield archive
    await archive.close()


@pytest.fixture
async def database(archive: Archive, archive_url: str) -> AsyncIterator[Database]:
    """The same database, behind the archive's back."""
    async with database_at(archive_url) as database:
        yield database
