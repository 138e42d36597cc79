"""Customers are found, in both databases."""

from typing import Any

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import InvalidInput
from sidecar.domain.history import CustomerFilter
from sidecar.domain.journal import Position, Record

MADE: list[dict[str, object]] = [
    {"external_id": "acme:ann", "display_name": "Ann Other", "metadata": {"tier": "gold", 'a"b.c': "1"}},
    {"external_id": "acme:bob", "display_name": "Bob", "status": "suspended", "metadata": {"tier": "tin"}},
    {"external_id": "Acme_%", "display_name": "", "parent_id": "cus_0", "metadata": {}},
]


async def archive_all(archive: Archive) -> None:
    lines = [
        Record(
            partition=3,
            position=Position(1, number + 1),
            what="customer",
            customer_id=f"cus_{number}",
            data={"customer_id": f"cus_{number}", "status": "active", "created_at_ms": 1, **made},
        )
        for number, made in enumerate(MADE)
    ]
    await archive.append(3, lines, Position())


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [2, 1, 0]),
        ({"status": "active"}, [2, 0]),
        ({"parent_id": "cus_0"}, [2]),
        ({"external_id_prefix": "acme:"}, [1, 0]),
        ({"external_id_prefix": "acme:ann"}, [0]),
        ({"words": "OTHER"}, [0]),
        ({"words": "_%"}, [2]),
        ({"words": "acme"}, [2, 1, 0]),
        ({"metadata": ("tier", "gold")}, [0]),
        ({"metadata": ('a"b.c', "1")}, [0]),
        ({"metadata": ("none", "x")}, []),
        ({"status": "suspended", "words": "bob"}, [1]),
    ],
)
async def test_what_is_looked_for_is_found(archive: Archive, wanted: dict[str, Any], found: list[int]) -> None:
    await archive_all(archive)
    page = await archive.customers(CustomerFilter(**wanted))
    assert [each.customer_id for each in page.items] == [f"cus_{number}" for number in found]
    assert page.next_cursor is None


async def test_pages_follow_each_other(archive: Archive) -> None:
    await archive_all(archive)
    first = await archive.customers(CustomerFilter(), None, 2)
    assert [each.external_id for each in first.items] == ["Acme_%", "acme:bob"]
    then = await archive.customers(CustomerFilter(), first.next_cursor, 2)
    assert [each.metadata for each in then.items] == [MADE[0]["metadata"]]
    assert then.next_cursor is None
    with pytest.raises(InvalidInput, match="cursor"):
        await archive.customers(CustomerFilter(), "none", 2)


async def test_the_last_record_counts(archive: Archive) -> None:
    await archive_all(archive)
    data = {**MADE[0], "customer_id": "cus_0", "created_at_ms": 1, "status": "merged", "external_id": "new"}
    line = Record(partition=3, position=Position(2, 1), what="customer", customer_id="cus_0", data=data)
    await archive.append(3, [line], Position(1, 3))
    assert (await archive.customers(CustomerFilter(external_id_prefix="acme:ann"))).items == ()
    (found,) = (await archive.customers(CustomerFilter(status="merged"))).items
    assert found.external_id == "new"
