"""Appending: exactly once, in order, whatever comes twice, at once or in between."""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.errors import InvalidInput
from sidecar.domain.journal import Line, Overtaken, Position, Totals
from tests.archive.databases import query, run
from tests.archive.teller import Clock, Teller
from tests.archive.writer import journal

START = Position()


async def test_a_batch_is_archived_and_the_position_moves(archive: Archive, database: Database) -> None:
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 30)), teller.commit((1, 70), owed=5), teller.grant(50)]
    done = await archive.append(3, lines, START)
    assert (done.position, done.entries, done.anomalies) == (lines[-1].position, 4, ())
    assert await archive.positions() == {3: lines[-1].position}
    assert await query(database, "SELECT type, delta, owed_delta, charged, owed FROM entries ORDER BY entry_id") == [
        ("grant", 100, 0, 0, 0),
        ("commit", -30, 0, 30, 0),
        ("commit", -70, 5, 75, 5),
        ("grant", 45, -5, 0, 0),
    ]
    assert await query(database, "SELECT DISTINCT sum(amount) FROM postings GROUP BY entry_id") == [(0,)]
    assert await query(database, "SELECT account, sum(amount) FROM postings GROUP BY account ORDER BY account") == [
        ("balance", 45),
        ("consumed", 105),
        ("issued", -150),
        ("owed", 0),
    ]
    assert [each async for each in archive.verify_chain()] == []


async def test_an_empty_batch_is_nothing(archive: Archive) -> None:
    done = await archive.append(3, [], Position(7, 0))
    assert (done.position, done.entries) == (Position(7, 0), 0)
    assert await archive.positions() == {}


async def test_a_repeated_batch_writes_nothing(archive: Archive, database: Database) -> None:
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 30))]
    await archive.append(3, lines, START)
    with pytest.raises(Overtaken) as caught:
        await archive.append(3, lines, START)
    assert caught.value.position == lines[-1].position
    assert await query(database, "SELECT count(*) FROM entries") == [(2,)]


async def test_a_batch_that_starts_too_late_writes_nothing(archive: Archive) -> None:
    teller = Teller(Clock())
    first, second = teller.grant(100), teller.commit((1, 30))
    with pytest.raises(Overtaken) as caught:
        await archive.append(3, [second], first.position)
    assert caught.value.position == START


async def test_an_entry_is_archived_once_even_when_the_position_was_set_back(
    archive: Archive, database: Database
) -> None:
    teller = Teller(Clock())
    lines: list[Line] = [teller.grant(100), teller.commit((1, 30)), teller.commit((1, 20))]
    await archive.append(3, lines[:2], START)
    await run(database, "UPDATE positions SET ms = 0, number = 0")
    done = await archive.append(3, lines, START)
    assert (done.entries, done.anomalies) == (1, ())
    assert [each async for each in archive.verify_chain()] == []
    assert [each.seq for each in (await archive.entries()).items] == [3, 2, 1]


async def test_overlapping_batches_at_once_archive_each_line_once(archive: Archive, archive_url: str) -> None:
    clock = Clock()
    tellers = [Teller(clock, f"cus_{number}") for number in range(5)]
    lines = [teller.grant(1_000) for teller in tellers]
    lines += [teller.commit((1, 1)) for _ in range(40) for teller in tellers]
    other = Archive(archive_url)
    await other.open()

    async def write(archive: Archive, seed: int) -> int:
        """Follows the archive's position, as an archiver does, in batches of its own sizes."""
        chance, at, written = random.Random(seed), START, 0
        while rest := [line for line in lines if line.position > at]:
            try:
                done = await archive.append(3, rest[: chance.randint(1, 17)], at)
            except Overtaken as error:
                at = error.position
            else:
                at, written = done.position, written + done.entries
        return written

    written = await asyncio.gather(*(write((archive, other)[seed % 2], seed) for seed in range(4)))
    await other.close()
    assert sum(written) == len(lines)
    assert [each async for each in archive.verify_chain()] == []
    assert [each async for each in archive.export()] == sorted(
        [each async for each in archive.export()], key=lambda entry: entry.entry_id
    )
    assert len([each async for each in archive.export()]) == len(lines)


async def test_partitions_do_not_wait_for_each_other_to_be_right(archive: Archive) -> None:
    batches = {}
    for partition in range(8):
        teller = Teller(Clock(partition), f"cus_{partition}")
        batches[partition] = [teller.grant(100), *(teller.commit((1, 1)) for _ in range(50))]
    await asyncio.gather(*(archive.append(partition, lines, START) for partition, lines in batches.items()))
    assert await archive.positions() == {partition: lines[-1].position for partition, lines in batches.items()}
    assert [each async for each in archive.verify_chain()] == []


async def test_lines_out_of_order_or_of_another_partition_are_refused(archive: Archive) -> None:
    teller = Teller(Clock())
    first, second = teller.grant(100), teller.commit((1, 30))
    for lines, after in (([second, first], START), ([first], first.position), ([first, first], START)):
        with pytest.raises(InvalidInput, match="in the order of their journal"):
            await archive.append(3, lines, after)
    with pytest.raises(InvalidInput, match="partition 4"):
        await archive.append(4, [first], START)
    assert await archive.positions() == {}


async def test_what_cannot_be_right_is_archived_and_noted(archive: Archive) -> None:
    teller = Teller(Clock())
    grant, lost, after_gap = teller.grant(100), teller.commit((1, 10)), teller.commit((1, 10))
    again = replace(teller.commit((1, 10)), seq=2)
    wrong = replace(teller.commit((1, 10)), seq=3, after=Totals(granted=100, available=59, spent=42))
    stranger = teller.commit((1, 1))
    stranger = replace(
        stranger,
        seq=4,
        moves=(replace(stranger.moves[0], block=9),),
        after=Totals(granted=100, spent=43, available=57),
    )
    assert lost.seq == 2
    done = await archive.append(3, [grant, after_gap, again, wrong, stranger], START)
    assert [each.what for each in done.anomalies] == [
        "seq_gap",
        "seq_repeat",
        "unbalanced",
        "unexplained",
        "block_unknown",
    ]
    assert done.entries == 5
    first = await archive.anomalies(limit=2)
    rest = await archive.anomalies(first.next_cursor, 10)
    assert sorted((*first.items, *rest.items), key=lambda each: (each.entry_id, each.what)) == sorted(
        done.anomalies, key=lambda each: (each.entry_id, each.what)
    )
    assert rest.next_cursor is None


async def test_an_account_of_256_blocks(archive: Archive, database: Database) -> None:
    teller = Teller(Clock())
    lines = [teller.grant(10) for _ in range(256)]
    lines.append(teller.commit(*((number, 4) for number in range(1, 257))))
    lines += [teller.void(number) for number in range(1, 257)]
    done = await archive.append(3, lines, START)
    assert done.anomalies == ()
    assert await query(database, "SELECT count(*), sum(spent), sum(voided) FROM blocks") == [(256, 1024, 1536)]
    entry = (await archive.entries(limit=257)).items[-1]
    assert (len(entry.moves), entry.charged) == (256, 1024)
    assert [each async for each in archive.verify_chain()] == []


async def test_text_that_a_database_cannot_keep_does_not_stop_the_journal(archive: Archive) -> None:
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 1), feature="a\0b'\"\\", usage="x=\0 über=1 y=0012.50")]
    await archive.append(3, lines, START)
    assert (await archive.entries(limit=1)).items[0].feature == "a\ufffdb'\"\\"
    assert [each async for each in archive.verify_chain()] == []


async def test_a_killed_writer_leaves_whole_batches(archive: Archive, archive_url: str) -> None:
    """kill -9 at any moment: what is archived is a prefix of the journal, and another writer goes on from it."""
    lines = journal()
    for delay in (0.02, 0.15, 0.3):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.archive.writer", archive_url, cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        await process.stdout.readline()
        # Not a wait for something: a moment that is different each time.
        await asyncio.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        at = (await archive.positions()).get(3, START)
        archived = [entry.entry_id async for entry in archive.export()]
        assert len(archived) == len([line for line in lines if line.position <= at])
        assert [each async for each in archive.verify_chain()] == []
    at = (await archive.positions()).get(3, START)
    await archive.append(3, [line for line in lines if line.position > at], at)
    assert len([entry async for entry in archive.export()]) == len(lines)
    assert [each async for each in archive.verify_chain()] == []
