"""The tables that the program uses are the tables that the migrations make."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from sidecar.archive import schema
from sidecar.archive.database import Database
from sidecar.archive.schema import AccountRow, EntryRow, row_of


async def test_the_migrated_database_is_the_schema(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), schema.metadata))

    async with database.reading() as transaction:
        assert await transaction.connection.run_sync(differences) == []


def test_a_row_has_the_columns_of_its_table() -> None:
    assert tuple(schema.entries.columns.keys()) == EntryRow.__struct_fields__
    row = AccountRow(customer_id="cus_a", unit="credits", partition=3, seq=7)
    assert row_of(AccountRow, [getattr(row, name) for name in schema.accounts.columns.keys()]) == row  # noqa: SIM118  # no dict
