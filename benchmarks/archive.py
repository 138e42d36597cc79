"""How many entries a second the archive takes: ``python -m benchmarks.archive [entries]``.

Commits of holds with two slices, of 10,000 customers in 8 partitions, in batches of 1,000: what the archiver does
after a busy second. SQLite writes a temporary file; PostgreSQL runs with its defaults on this machine.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from sidecar.archive.archive import Archive
from sidecar.domain.blocks import Grant
from sidecar.domain.journal import BlockImage, HoldStory, Kind, Line, Move, Moved, Position, Totals
from tests.support.postgresql import PostgresServer, find_binaries

CUSTOMERS = 10_000
PARTITIONS = 8
BATCH = 1_000
GRANTED = 10**12


def _grant(partition: int, customer: int) -> list[Line]:
    account = f"cus_{customer:026d}"
    return [
        Line(
            partition=partition,
            position=Position(1_000, customer * 2 + number),
            kind=Kind.GRANT,
            customer_id=account,
            unit="credits",
            seq=number,
            after=Totals(granted=GRANTED * number, available=GRANTED * number),
            moves=(Move(Moved.GRANTED, number, GRANTED),),
            block=BlockImage(
                number=number,
                state="active",
                priority=0,
                paid=False,
                granted=GRANTED,
                available=GRANTED,
                held=0,
                lapsed=0,
                created_at_ms=1_000,
                starts_at_ms=1_000,
                expires_at_ms=None,
            ),
            grant=Grant(block_id=f"blk_{customer:020d}_{number:05d}", unit="credits", amount=GRANTED, source="pack"),
        )
        for number in (1, 2)
    ]


def _commit(partition: int, customer: int, seq: int, place: int) -> Line:
    account = f"cus_{customer:026d}"
    spent = (seq - 2) * 2_000
    return Line(
        partition=partition,
        position=Position(1_000_000 + place, partition),
        kind=Kind.COMMIT,
        customer_id=account,
        unit="credits",
        seq=seq,
        after=Totals(granted=GRANTED * 2, available=GRANTED * 2 - spent, spent=spent),
        moves=(Move(Moved.SPENT, 1, 1_500), Move(Moved.SPENT, 2, 500)),
        hold=HoldStory(
            reservation_id=f"req_{partition:02d}{place:024d}",
            customer_id=account,
            feature="chat",
            rule="chat-completions",
            held=5_000,
            reserved_at_ms=999_000,
            charged_before=0,
        ),
        charged=2_000,
        usage="input_tokens=812 cached_input_tokens=512 output_tokens=214",
        source="reported",
    )


async def _fill(archive: Archive, partition: int, batches: list[list[Line]], after: Position) -> Position:
    for batch in batches:
        after = (await archive.append(partition, batch, after)).position
    return after


async def _measure(url: str, entries: int) -> float:
    each = entries // PARTITIONS
    owned = [range(partition, CUSTOMERS, PARTITIONS) for partition in range(PARTITIONS)]
    grants = [
        [line for customer in range_ for line in _grant(partition, customer)]
        for partition, range_ in enumerate(owned)
    ]
    commits = [
        [_commit(partition, range_[place % len(range_)], 3 + place // len(range_), place) for place in range(each)]
        for partition, range_ in enumerate(owned)
    ]
    archive = Archive(url)
    await archive.open()
    starts = [await _fill(archive, partition, [lines], Position()) for partition, lines in enumerate(grants)]
    started = time.perf_counter()
    await asyncio.gather(
        *(
            _fill(archive, partition, [lines[at : at + BATCH] for at in range(0, each, BATCH)], starts[partition])
            for partition, lines in enumerate(commits)
        )
    )
    took = time.perf_counter() - started
    await archive.close()
    return each * PARTITIONS / took


def main() -> None:
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        rate = asyncio.run(_measure(f"sqlite:///{Path(folder) / 'archive.db'}", entries))
    print(f"SQLite      {rate:>8,.0f} entries/s")
    binaries = find_binaries()
    if binaries is None:
        print("PostgreSQL  not installed")
        return
    server = PostgresServer(binaries)
    try:
        server.start()
        rate = asyncio.run(_measure(server.database(), entries))
    finally:
        server.remove()
    print(f"PostgreSQL  {rate:>8,.0f} entries/s")


if __name__ == "__main__":
    main()
