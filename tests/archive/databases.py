"""A look into the archive's database, and hands that do what nobody should."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text

from sidecar.archive.address import parse_archive_address
from sidecar.archive.database import Database

TRIGGERS = {
    "entries": ("entries_no_update", "entries_no_delete", "entries_no_replace"),
    "postings": ("postings_no_update", "postings_no_delete", "postings_no_replace"),
    "counts": ("counts_no_update", "counts_no_delete", "counts_no_replace"),
    "audit": ("audit_no_update", "audit_no_delete", "audit_no_replace"),
}

UNDO = {
    "0002": ("ALTER TABLE entries DROP COLUMN rules_version",),
    "0003": ("DROP TABLE counts", "ALTER TABLE entries DROP COLUMN counted"),
    "0004": ("DROP TABLE documents",),
    "0005": (
        "DROP INDEX customers_by_external_id",
        *(
            f"ALTER TABLE customers DROP COLUMN {name}"
            for name in ("external_id", "display_name", "status", "parent_id")
        ),
    ),
    "0006": ("DROP TABLE audit",),
    "0007": ("DROP TABLE spend_caps",),
    "0008": ("DROP TABLE events", "DROP TABLE watches", "ALTER TABLE accounts DROP COLUMN low"),
    "0009": ("DROP TABLE topup_requests",),
}
"""What takes each step of the schema back."""


@asynccontextmanager
async def database_at(url: str) -> AsyncIterator[Database]:
    database = Database(parse_archive_address(url))
    await database.open()
    yield database
    await database.close()


async def run(database: Database, *statements: str) -> None:
    """In one transaction."""
    async with database.writing() as transaction:
        for statement in statements:
            await transaction.connection.execute(text(statement))


async def rewind(database: Database, revision: str) -> None:
    """Make the schema what it was at `revision`, with what is in it."""
    later = [statement for step in sorted(UNDO, reverse=True) if step > revision for statement in UNDO[step]]
    await run(database, *later, f"UPDATE alembic_version SET version_num = '{revision}'")


async def query(database: Database, statement: str) -> list[tuple[Any, ...]]:
    async with database.reading() as transaction:
        return [tuple(row) for row in await transaction.connection.execute(text(statement))]


async def tamper(database: Database, *statements: str) -> None:
    """As somebody who owns the database can: past the triggers."""
    if database.address.path:
        drops = [f"DROP TRIGGER {name}" for names in TRIGGERS.values() for name in names]
    else:
        drops = [f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in TRIGGERS]
    await run(database, *drops, *statements)
