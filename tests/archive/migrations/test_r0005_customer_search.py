"""Customers that were archived before they could be searched are found."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.history import CustomerFilter
from sidecar.domain.journal import Position, Record
from tests.archive.databases import rewind


async def test_customers_of_before_are_found(archive: Archive, archive_url: str, database: Database) -> None:
    data: dict[str, object] = {
        "customer_id": "cus_a",
        "external_id": "alice",
        "display_name": "Alice",
        "status": "active",
        "created_at_ms": 1,
        "parent_id": None,
    }
    line = Record(partition=3, position=Position(1, 1), what="customer", customer_id="cus_a", data=data)
    await archive.append(3, [line], Position())
    await rewind(database, "0004")
    again = Archive(archive_url)
    await again.open()
    for wanted in (CustomerFilter(external_id_prefix="ali"), CustomerFilter(status="active", words="ALICE")):
        assert [each.customer_id for each in (await again.customers(wanted)).items] == ["cus_a"]
    assert (await again.customers(CustomerFilter(parent_id="None"))).items == ()
    await again.close()
