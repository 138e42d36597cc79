"""A database that is away, comes back, or cannot be had: always one clear sentence, never a password."""

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.errors import ArchiveUnavailable, StartupError
from sidecar.domain.journal import Position
from tests.archive.databases import run
from tests.archive.teller import Clock, Teller
from tests.support.postgresql import PostgresServer, find_binaries


async def test_a_server_that_is_away_is_named_without_its_password() -> None:
    archive = Archive("postgresql://ann:s3cret@127.0.0.1:1/ledger")
    with pytest.raises(
        ArchiveUnavailable, match=r"postgresql://ann:\*\*\*@127.0.0.1:1/ledger could not answer"
    ) as caught:
        await archive.open()
    assert "s3cret" not in caught.value.detail
    assert "s3cret" not in repr(archive) + str(archive)


async def test_an_archive_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnavailable, match="is not open"):
        await Archive(f"sqlite:///{tmp_path}/a.db").positions()


async def test_a_file_in_no_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnavailable, match=r"missing/a\.db could not answer: .*No such file or directory"):
        await Archive(f"sqlite:///{tmp_path}/missing/a.db").open()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("Dear diary, today I learned about databases. " * 100)
    with pytest.raises(ArchiveUnavailable, match="not a database"):
        await Archive(f"sqlite:///{tmp_path}/a.db").open()


async def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    archive = Archive(f"sqlite:///{path}")
    await archive.open()
    await archive.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_missing_driver_is_a_sentence_about_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StartupError, match=r"pip install 'entitlement-sidecar\[postgresql\]'"):
        await Archive("postgresql://db/ledger").open()


async def test_closing_twice_and_opening_again(archive: Archive) -> None:
    await archive.close()
    await archive.close()
    await archive.open()
    assert await archive.positions() == {}


async def test_a_failed_transaction_leaves_nothing_behind(archive: Archive, database: Database) -> None:
    with pytest.raises(ArchiveUnavailable):
        await run(database, "INSERT INTO positions VALUES (5, 1, 1)", "INSERT INTO nowhere VALUES (1)")
    assert await archive.positions() == {}


async def test_a_reader_sees_one_state_and_keeps_nobody_waiting(archive: Archive, database: Database) -> None:
    teller = Teller(Clock())
    grant, commit = teller.grant(100), teller.commit((1, 30))
    await archive.append(3, [grant], Position())
    async with database.reading() as transaction:
        count = text("SELECT count(*) FROM entries")
        assert (await transaction.connection.execute(count)).scalar_one() == 1
        await asyncio.wait_for(archive.append(3, [commit], grant.position), 20)
        assert (await transaction.connection.execute(count)).scalar_one() == 1
    async with database.reading() as transaction:
        assert (await transaction.connection.execute(count)).scalar_one() == 2


@pytest.fixture
def own_server() -> PostgresServer:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed")
    return PostgresServer(binaries)


async def test_the_archive_mends_itself_when_its_server_comes_back(own_server: PostgresServer) -> None:
    try:
        own_server.start()
        archive = Archive(own_server.database())
        await archive.open()
        teller = Teller(Clock())
        grant, commit = teller.grant(100), teller.commit((1, 30))
        await archive.append(3, [grant], Position())
        own_server.stop()
        with pytest.raises(ArchiveUnavailable, match="could not answer"):
            await archive.append(3, [commit], grant.position)
        own_server.start()
        await archive.append(3, [commit], grant.position)
        assert [entry.seq async for entry in archive.export()] == [1, 2]
        await archive.close()
    finally:
        own_server.remove()
