"""One database: its connections, its transactions, and its failures in our words.

The only file that catches what SQLAlchemy and the drivers raise. It knows no table.
"""

import asyncio
import importlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sidecar.archive.address import ArchiveAddress
from sidecar.archive.bulk import Bulk, PostgresBulk, SqliteBulk
from sidecar.archive.migrate import migrate
from sidecar.domain.errors import ArchiveUnavailable, StartupError

_CONNECT_TIMEOUT_S = 5
_COMMAND_TIMEOUT_S = 60
_BUSY_TIMEOUT_MS = 10_000
_POSTGRESQL_WRITERS = 4


class Transaction:
    """An open transaction: statements through `connection`, many rows at once through `bulk`."""

    def __init__(self, connection: AsyncConnection, bulk: Bulk) -> None:
        self.connection = connection
        self.bulk = bulk


class Database:
    """Opened once; every failure of the database is `ArchiveUnavailable`, and the connections mend themselves."""

    def __init__(self, address: ArchiveAddress) -> None:
        self.address = address
        self._engine: AsyncEngine | None = None
        self._foreign: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error, OSError, TimeoutError)
        # SQLite has one writer at a time: waiting here is fair and costs nothing, its own waiting polls.
        self._writers = asyncio.Semaphore(1 if address.path else _POSTGRESQL_WRITERS)

    async def open(self) -> None:
        """Connect and bring the schema up to date. `StartupError`: the driver is missing, the database is newer."""
        if self._engine is None:
            self._engine = self._sqlite() if self.address.path else self._postgresql()
        try:
            async with self.writing() as transaction:
                await transaction.connection.run_sync(migrate, self.address.schema)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            with self._our_words():
                await engine.dispose()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Transaction]:
        """A transaction that is committed at the end of the block, or leaves nothing behind."""
        async with self._writers, self._transaction(writes=True) as transaction:
            yield transaction

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """A transaction that sees one state, whatever is written meanwhile."""
        async with self._transaction(writes=False) as transaction:
            yield transaction

    @asynccontextmanager
    async def _transaction(self, *, writes: bool) -> AsyncIterator[Transaction]:
        if self._engine is None:
            raise ArchiveUnavailable(f"The archive {self.address} is not open.")
        with self._our_words():
            async with self._engine.execution_options(**self._options(writes=writes)).begin() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                yield Transaction(connection, SqliteBulk(driver) if self.address.path else PostgresBulk(driver))

    def _options(self, *, writes: bool) -> dict[str, object]:
        if self.address.path:
            return {"writes": writes}
        # What one transaction reads belongs together, as it does in SQLite.
        return {} if writes else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    @contextmanager
    def _our_words(self) -> Iterator[None]:
        try:
            yield
        except self._foreign as error:
            said = str(getattr(error, "orig", None) or error).partition("\n")[0] or type(error).__name__
            raise ArchiveUnavailable(f"The archive {self.address} could not answer: {said}") from error

    def _sqlite(self) -> AsyncEngine:
        path = Path(self.address.path)
        with self._our_words():
            # It holds digests of keys: nobody else needs to read it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", max_overflow=10)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine

    def _postgresql(self) -> AsyncEngine:
        try:
            asyncpg = importlib.import_module("asyncpg")
        except ImportError as error:
            raise StartupError(
                "The archive is PostgreSQL, but its driver is not installed: "
                "pip install 'entitlement-sidecar[postgresql]'."
            ) from error
        self._foreign = (*self._foreign, asyncpg.PostgresError, asyncpg.InterfaceError)

        schema = self.address.schema
        session = {"search_path": f'"{schema}"'} if schema else {}

        async def connect() -> object:
            return await asyncpg.connect(
                self.address.dsn,
                timeout=_CONNECT_TIMEOUT_S,
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings=session,
            )

        return create_async_engine(
            "postgresql+asyncpg://", async_creator=connect, pool_pre_ping=True, pool_size=10, max_overflow=10
        )


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        # The journal is trimmed once a batch is archived: it must have reached the disk by then.
        "synchronous = FULL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
