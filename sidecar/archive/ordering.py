"""One writer at a time of what must be numbered in the order of the commits. It knows no table."""

from typing import Final

from sqlalchemy import text

from sidecar.archive.database import Transaction

DOCUMENTS: Final = 0x5D_D0C5
EVENTS: Final = 0x5D_E7E5
WATCHES: Final = 0x5D_3A7C
"""Any numbers that are only ours."""


async def one_writer(transaction: Transaction, lock: int) -> None:
    """Wait until no other transaction has `lock`, and have it until this one ends. SQLite has one writer anyway."""
    if transaction.connection.dialect.name == "postgresql":
        await transaction.connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
