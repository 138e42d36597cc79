"""How much of everything there is: one look at tables that follow the ledger, not at the ledger."""

from sqlalchemy import func, select

from sidecar.archive import schema
from sidecar.archive.database import Database
from sidecar.domain.history import Stats, UnitTotals
from sidecar.domain.journal import Totals


async def stats(database: Database) -> Stats:
    """Of all customers and accounts. `held` is as of each account's last entry."""
    accounts, customers = schema.accounts, schema.customers
    sums = [func.sum(accounts.c[name]).label(name) for name in Totals.__struct_fields__]
    by_unit = select(accounts.c.unit, func.count().label("number"), *sums).group_by(accounts.c.unit)
    by_status = select(customers.c.status, func.count()).group_by(customers.c.status)
    # An account's entries are numbered without gaps: the last number is how many there are.
    entries = select(func.coalesce(func.sum(accounts.c.seq), 0))
    async with database.reading() as transaction:
        units = (await transaction.connection.execute(by_unit.order_by(accounts.c.unit))).all()
        statuses = (await transaction.connection.execute(by_status.order_by(customers.c.status))).all()
        count = (await transaction.connection.execute(entries)).scalar_one()
    return Stats(
        customers={row[0]: row[1] for row in statuses},
        entries=int(count),
        units=tuple(
            UnitTotals(
                unit=row.unit,
                accounts=row.number,
                totals=Totals(**{name: int(row._mapping[name]) for name in Totals.__struct_fields__}),
            )
            for row in units
        ),
    )
