"""Whoever changes the ledger past its guards is found out."""

import pytest

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.counters import Counted
from sidecar.domain.history import BrokenLink
from sidecar.domain.journal import Position
from tests.archive.databases import query, run, tamper
from tests.archive.teller import Clock, Teller


async def broken(archive: Archive, customer_id: str | None = None) -> list[BrokenLink]:
    return [each async for each in archive.verify_chain(customer_id)]


async def seen(archive: Archive) -> list[tuple[str, int, str]]:
    return sorted((each.customer_id, each.seq, each.what) for each in await broken(archive))


async def remove(database: Database, condition: str) -> None:
    """Entries with all their postings, so that only their absence can show."""
    which = f"SELECT entry_id FROM entries WHERE {condition}"
    await tamper(
        database, f"DELETE FROM postings WHERE entry_id IN ({which})", f"DELETE FROM entries WHERE {condition}"
    )


@pytest.fixture
async def kept(archive: Archive) -> Archive:
    """Two customers with four entries each."""
    clock = Clock()
    lines = []
    for teller in (Teller(clock, "cus_a"), Teller(clock, "cus_b")):
        lines += [teller.grant(100), *(teller.commit((1, amount)) for amount in (10, 20, 30))]
    await archive.append(3, lines, Position())
    return archive


async def test_an_untouched_ledger_is_whole(kept: Archive) -> None:
    assert await broken(kept) == []
    assert await broken(kept, "cus_a") == []


async def test_an_empty_ledger_is_whole(archive: Archive) -> None:
    assert await broken(archive) == []
    assert await broken(archive, "cus_a") == []


@pytest.mark.parametrize(
    "change",
    [
        "charged = 1",
        "feature = 'other'",
        "event_at_ms = event_at_ms + 1",
        "after_available = 0",
        "moves = '[[2,1,1]]'",
        "moves = 'rubbish'",
        "detail = '{}'",
    ],
)
async def test_a_changed_entry_shows(kept: Archive, database: Database, change: str) -> None:
    await tamper(database, f"UPDATE entries SET {change} WHERE customer_id = 'cus_a' AND seq = 2")
    assert await seen(kept) == [("cus_a", 2, "hash")]
    assert await broken(kept, "cus_b") == []
    assert [each.what for each in await broken(kept, "cus_a")] == ["hash"]


async def test_a_changed_hash_breaks_what_follows(kept: Archive, database: Database) -> None:
    other = "SELECT hash FROM entries WHERE customer_id = 'cus_b' AND seq = 2"
    await tamper(database, f"UPDATE entries SET hash = ({other}) WHERE customer_id = 'cus_a' AND seq = 2")
    assert await seen(kept) == [("cus_a", 2, "hash"), ("cus_a", 3, "link")]


async def test_a_removed_entry_shows(kept: Archive, database: Database) -> None:
    await remove(database, "customer_id = 'cus_a' AND seq = 2")
    assert await seen(kept) == [("cus_a", 3, "link"), ("cus_a", 3, "seq")]


async def test_a_removed_first_entry_shows(kept: Archive, database: Database) -> None:
    await remove(database, "customer_id = 'cus_b' AND seq = 1")
    assert await seen(kept) == [("cus_b", 2, "link"), ("cus_b", 2, "seq")]


@pytest.mark.parametrize("customer_id", ["cus_a", "cus_b"])
async def test_a_removed_end_shows(kept: Archive, database: Database, customer_id: str) -> None:
    await remove(database, f"customer_id = '{customer_id}' AND seq >= 3")
    assert await seen(kept) == [(customer_id, 2, "end")]


async def test_a_removed_account_shows(kept: Archive, database: Database) -> None:
    await remove(database, "customer_id = 'cus_a'")
    assert await seen(kept) == [("cus_a", 4, "end")]
    assert [each.what for each in await broken(kept, "cus_a")] == ["end"]


async def test_an_account_that_says_otherwise_shows(kept: Archive, database: Database) -> None:
    await tamper(database, "UPDATE accounts SET available = available + 1 WHERE customer_id = 'cus_b'")
    assert await seen(kept) == [("cus_b", 4, "end")]
    await run(database, "DELETE FROM accounts WHERE customer_id = 'cus_b'")
    assert await seen(kept) == [("cus_b", 4, "end")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE postings SET amount = amount + 1 WHERE leg = 0 AND entry_id = '{}'",
        "UPDATE postings SET account = 'issued' WHERE leg = 1 AND entry_id = '{}'",
        "UPDATE postings SET block = 2 WHERE leg = 0 AND entry_id = '{}'",
        "DELETE FROM postings WHERE entry_id = '{}'",
        "INSERT INTO postings VALUES ('{}', 2, 'issued', 'cus_a', 'credits', 0, 5)",
    ],
)
async def test_changed_postings_show(kept: Archive, database: Database, change: str) -> None:
    ((entry_id,),) = await query(database, "SELECT entry_id FROM entries WHERE customer_id = 'cus_a' AND seq = 3")
    await tamper(database, change.format(entry_id))
    assert await seen(kept) == [("cus_a", 3, "postings")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE counts SET units = units + 1 WHERE entry_id = '{}'",
        "UPDATE counts SET counter = 'pages@ever' WHERE entry_id = '{}'",
        "UPDATE counts SET customer_id = 'cus_b' WHERE entry_id = '{}'",
        "DELETE FROM counts WHERE entry_id = '{}'",
        "INSERT INTO counts VALUES ('{}', 'pages@ever', 'cus_a', 5)",
    ],
)
async def test_changed_counts_show(archive: Archive, database: Database, change: str) -> None:
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 10), counted=(Counted("calls@ever", 3, 3),))]
    await archive.append(3, lines, Position())
    assert await seen(archive) == []
    ((entry_id,),) = await query(database, "SELECT entry_id FROM entries WHERE seq = 2")
    await tamper(database, change.format(entry_id))
    assert await seen(archive) == [("cus_a", 2, "counts")]


async def test_counts_of_no_entry_show(kept: Archive, database: Database) -> None:
    await tamper(database, "INSERT INTO counts VALUES ('ent_x', 'calls@ever', 'cus_a', 5)")
    assert await seen(kept) == [("cus_a", 0, "counts")]


async def test_postings_of_no_entry_show(kept: Archive, database: Database) -> None:
    await tamper(database, "INSERT INTO postings VALUES ('ent_x', 0, 'issued', 'cus_a', 'credits', 0, 5)")
    assert await seen(kept) == [("cus_a", 0, "postings")]
    assert [each.entry_id for each in await broken(kept, "cus_a")] == ["ent_x"]


async def test_a_long_ledger_is_read_in_pieces(archive: Archive, database: Database) -> None:
    clock = Clock()
    tellers = [Teller(clock, f"cus_{number}") for number in range(3)]
    lines = [teller.grant(10_000) for teller in tellers]
    lines += [teller.commit((1, 1)) for _ in range(800) for teller in tellers]
    await archive.append(3, lines, Position())
    assert await broken(archive) == []
    await tamper(database, "UPDATE entries SET charged = 9 WHERE seq IN (1, 334, 500, 801)")
    expected = [(f"cus_{number}", seq, "hash") for number in range(3) for seq in (1, 334, 500, 801)]
    assert await seen(archive) == expected
