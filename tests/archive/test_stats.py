"""How much there is, in both databases."""

from sidecar.archive.archive import Archive
from sidecar.domain.journal import Position, Record
from tests.archive.teller import Clock, Teller


async def test_an_empty_archive_has_nothing(archive: Archive) -> None:
    found = await archive.stats()
    assert (found.customers, found.entries, found.units) == ({}, 0, ())


async def test_all_accounts_are_added_up(archive: Archive) -> None:
    clock = Clock()
    a, b, tokens = Teller(clock), Teller(clock, "cus_b"), Teller(clock, unit="tokens")
    customers = [
        Record(
            partition=4,
            position=Position(1, number + 1),
            what="customer",
            customer_id=f"cus_{number}",
            data={"status": "active" if number else "suspended"},
        )
        for number in range(3)
    ]
    await archive.append(4, customers, Position())
    lines = [a.grant(100), b.grant(50), tokens.grant(7), a.commit((1, 30), owed=5), b.void(1)]
    await archive.append(3, lines, Position())
    found = await archive.stats()
    assert (found.customers, found.entries) == ({"active": 2, "suspended": 1}, 5)
    assert [(each.unit, each.accounts) for each in found.units] == [("credits", 2), ("tokens", 1)]
    totals = found.units[0].totals
    assert (totals.granted, totals.available, totals.spent, totals.voided, totals.owed) == (150, 70, 30, 50, 5)
