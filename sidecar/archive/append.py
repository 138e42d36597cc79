"""Archives a batch: one transaction, fenced by the partition's position, each entry once.

Two archivers at once are harmless: the second one waits for the first, finds the position moved, and writes nothing.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import TypeVar

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

from sidecar.archive import events, schema, topup_requests
from sidecar.archive.bookkeeping import Books, key_of, touched_blocks
from sidecar.archive.bulk import Bulk, Row
from sidecar.archive.database import Database, Transaction
from sidecar.archive.schema import AccountRow, BlockRow, CustomerRow, KeyRow, SpendCapsRow, WatchRow, row_of
from sidecar.archive.signals import Signals
from sidecar.domain.counters import is_of_cap
from sidecar.domain.errors import InvalidInput
from sidecar.domain.history import Anomaly, Appended
from sidecar.domain.journal import Line, Overtaken, Position, Record, entry_id
from sidecar.domain.watches import EVERYBODY

R = TypeVar("R", bound=msgspec.Struct)


async def append(database: Database, partition: int, lines: Sequence[Line | Record], after: Position) -> Appended:
    """Archive `lines`, which follow `after` in the partition's journal.

    `Overtaken` when the archive of the partition does not stand at `after`: nothing is written.
    """
    if not lines:
        return Appended(after, 0)
    _check_order(partition, lines, after)
    async with database.writing() as transaction:
        found = await _locked_position(transaction, partition)
        if found != after:
            raise Overtaken(found)
        fresh = await _not_archived(transaction.bulk, lines)
        books = await _open_books(transaction.bulk, fresh)
        for line in fresh:
            books.take(line)
        await _write(transaction.bulk, books)
        last = lines[-1].position
        await transaction.bulk.upsert(schema.positions, [(partition, last.ms, last.number)])
        await topup_requests.follow(transaction, books, last.ms)
        await events.append(transaction, books.signals.events)
    anomalies = (
        Anomaly(entry_id=row.entry_id, what=row.what, customer_id=row.customer_id, unit=row.unit, detail=row.detail)
        for row in books.anomalies.values()
    )
    return Appended(last, len(books.entries), tuple(anomalies), len(books.signals.events))


def _check_order(partition: int, lines: Sequence[Line | Record], after: Position) -> None:
    positions = [after, *(line.position for line in lines)]
    if any(one >= next_ for one, next_ in pairwise(positions)):
        raise InvalidInput(f"The lines must follow {after} in the order of their journal.")
    if any(line.partition != partition for line in lines):
        raise InvalidInput(f"All lines must be of partition {partition}.")


async def _locked_position(transaction: Transaction, partition: int) -> Position:
    """Where the partition stands; nobody else moves it until the transaction ends."""
    dialect = postgresql if transaction.connection.dialect.name == "postgresql" else sqlite
    table = schema.positions
    statement = dialect.insert(table).values(partition=partition, ms=0, number=0)
    locked = statement.on_conflict_do_update(
        index_elements=[table.c.partition], set_={"partition": statement.excluded.partition}
    ).returning(table.c.ms, table.c.number)
    row = (await transaction.connection.execute(locked)).one()
    return Position(row.ms, row.number)


async def _not_archived(bulk: Bulk, lines: Sequence[Line | Record]) -> list[Line | Record]:
    """Those whose entry is not there. All of them, unless somebody has set the position back."""
    ids = [entry_id(line.partition, line.position) for line in lines]
    known = {row[0] for row in await bulk.fetch(schema.entries, ["entry_id"], [(each,) for each in ids])}
    return [line for line, each in zip(lines, ids, strict=True) if each not in known]


async def _open_books(bulk: Bulk, lines: Sequence[Line | Record]) -> Books:
    accounts: dict[Row, None] = {}
    blocks: dict[Row, None] = {}
    keys: dict[Row, None] = {}
    customers: dict[Row, None] = {}
    capped: dict[Row, None] = {}
    for line in lines:
        if isinstance(line, Record):
            keys[key_of(line),] = None
            if line.what == "customer":
                customers[line.customer_id,] = None
            continue
        accounts[line.customer_id, line.unit] = None
        if any(is_of_cap(counted.key) for counted in line.counted):
            asker = line.customer_id if line.hold is None else line.hold.customer_id
            capped |= {(line.customer_id, line.unit): None, (asker, line.unit): None}
        blocks |= dict.fromkeys((line.customer_id, line.unit, number) for number in touched_blocks(line))
    watched = {**accounts, **{(EVERYBODY, unit): None for _, unit in accounts}}
    return Books(
        await _known(bulk, schema.accounts, AccountRow, accounts),
        await _known(bulk, schema.blocks, BlockRow, blocks),
        await _known(bulk, schema.keys, KeyRow, keys),
        await _known(bulk, schema.customers, CustomerRow, customers),
        Signals(
            await _known(bulk, schema.watches, WatchRow, watched),
            await _known(bulk, schema.spend_caps, SpendCapsRow, capped),
        ),
    )


async def _known(bulk: Bulk, table: Table, kind: type[R], wanted: Collection[Row]) -> list[R]:
    """The rows that begin with one of the keys that are wanted."""
    if not wanted:
        return []
    key = [column.name for column in table.primary_key][: len(next(iter(wanted)))]
    return [row_of(kind, values) for values in await bulk.fetch(table, key, list(wanted))]


async def _write(bulk: Bulk, books: Books) -> None:
    ledger = ((schema.entries, books.entries), (schema.postings, books.postings), (schema.counts, books.counts))
    for table, written in ledger:
        if written:
            await bulk.insert(table, [astuple(row) for row in written])
    followers = (
        (schema.accounts, books.accounts),
        (schema.blocks, books.blocks),
        (schema.customers, books.customers),
        (schema.keys, books.keys),
        (schema.pool_caps, books.pool_caps),
        (schema.spend_caps, books.spend_caps),
        (schema.anomalies, books.anomalies),
    )
    for table, kept in followers:
        if kept:
            await bulk.upsert(table, [astuple(row) for row in kept.values()])
