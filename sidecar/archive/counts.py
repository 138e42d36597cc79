"""What the ledger's counts come to: where each counter of a customer must stand."""

from sqlalchemy import func, select

from sidecar.archive import schema
from sidecar.archive.database import Database


async def counted(database: Database, customer_id: str, upto: str) -> dict[str, int]:
    """What entries of the customer up to the id `upto` have counted, by the keys of the counters."""
    table = schema.counts
    statement = (
        select(table.c.counter, func.sum(table.c.units))
        .where(table.c.customer_id == customer_id, table.c.entry_id <= upto)
        .group_by(table.c.counter)
    )
    async with database.reading() as transaction:
        return {key: int(units) for key, units in await transaction.connection.execute(statement)}
