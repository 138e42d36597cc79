"""Many rows at once, on both databases."""

from sidecar.archive import schema
from sidecar.archive.database import Database


def row(partition: int, ms: int) -> tuple[int, int, int]:
    return (partition, ms, 0)


async def test_rows_are_inserted_replaced_and_found(database: Database) -> None:
    async with database.writing() as transaction:
        bulk = transaction.bulk
        await bulk.insert(schema.positions, [row(number, 1) for number in range(1_500)])
        await bulk.upsert(schema.positions, [row(number, 2) for number in range(1_499, 1_502)])
        found = await bulk.fetch(schema.positions, ["partition"], [(number,) for number in (7, 1_499, 1_501, 9_999)])
        assert sorted(found) == [row(7, 1), row(1_499, 2), row(1_501, 2)]


async def test_rows_are_found_by_several_columns_of_any_text(database: Database) -> None:
    texts = ["plain", "", "ü'\"\\", "a,b", "[1]", "12", "null"]
    rows = [(text, unit, 3, f"ent_{unit}", 5) for text in texts for unit in ("a", "b")]
    async with database.writing() as transaction:
        await transaction.bulk.insert(schema.pool_caps, rows)
        wanted = [(text, "b") for text in texts] + [("plain", "c"), ("other", "a")]
        found = await transaction.bulk.fetch(schema.pool_caps, ["customer_id", "unit"], wanted)
        assert sorted(found) == sorted(each for each in rows if each[1] == "b")


async def test_the_largest_amounts_survive(database: Database) -> None:
    largest = (2**53 - 1, 2**53 - 1, 2**63 - 1)
    async with database.writing() as transaction:
        await transaction.bulk.insert(schema.positions, [largest])
        assert await transaction.bulk.fetch(schema.positions, ["partition"], [(2**53 - 1,)]) == [largest]
