"""Adding up an account's postings, in both databases."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.archive.fold import Sums
from sidecar.domain.journal import Line, Position, Record, Totals, entry_id
from tests.archive.databases import run, tamper
from tests.archive.teller import Clock, Teller

START = Position()


async def written(archive: Archive) -> list[Line | Record]:
    """Every kind of move, of one account; and another account that must not count."""
    clock = Clock()
    credit, tokens = Teller(clock), Teller(clock, unit="tokens")
    lines: list[Line | Record] = [
        credit.record("customer", external_id="acme"),
        credit.grant(100),
        credit.grant(50, ends_at_ms=clock.now_ms + 9),
        credit.grant(20),
        tokens.grant(7),
        credit.commit((1, 30), (3, 20), asker="cus_b"),
        credit.expire(2),
        credit.commit((1, 60), owed=15, asker="cus_b"),
        credit.grant(40),
        credit.void(1),
    ]
    await archive.append(3, lines, START)
    return lines


def id_of(line: Line | Record) -> str:
    return entry_id(line.partition, line.position)


async def test_the_sums_are_the_totals_of_the_last_entry(archive: Archive) -> None:
    *_, last = await written(archive)
    assert isinstance(last, Line)
    fold = await archive.folded("cus_a", "credits", id_of(last))
    assert (fold.entries, fold.last_seq, fold.noted, fold.strangers) == (8, 8, last.after, ())
    assert fold.sums == Sums(granted=210, spent=125, expired=50, voided=10)
    assert fold.sums.remaining == last.after.available == 25
    assert fold.blocks == {
        1: Sums(granted=100, spent=90, voided=10),
        2: Sums(granted=50, expired=50),
        3: Sums(granted=20, spent=20),
        4: Sums(granted=40, spent=15),
    }
    assert fold.members == {"cus_b": 125}


async def test_what_came_later_does_not_count(archive: Archive) -> None:
    lines = await written(archive)
    fold = await archive.folded("cus_a", "credits", id_of(lines[7]))
    assert fold.sums == Sums(granted=170, spent=110, expired=50, owed=15)
    assert (fold.entries, fold.last_seq) == (6, 6)


async def test_an_account_without_entries(archive: Archive) -> None:
    fold = await archive.folded("cus_a", "credits", "f")
    assert (fold.entries, fold.last_seq, fold.noted, fold.sums, fold.blocks) == (0, 0, Totals(), Sums(), {})


async def test_legs_that_never_stand_opposite_to_each_other_are_named(archive: Archive, database: Database) -> None:
    await written(archive)
    await tamper(database, "UPDATE postings SET account = 'issued' WHERE account = 'expired'")
    assert (await archive.folded("cus_a", "credits", "f")).sums.expired == 0
    await run(database, "UPDATE postings SET account = 'nothing' WHERE account = 'voided'")
    assert (await archive.folded("cus_a", "credits", "f")).strangers == ("balance/nothing: -10",)


async def test_known_accounts(archive: Archive) -> None:
    await written(archive)
    assert await archive.known_accounts(["cus_a", "cus_b"]) == {"cus_a": {"credits", "tokens"}}
