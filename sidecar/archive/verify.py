"""Proves that the ledger is as it was written: every hash, every link, every posting, and the end of each account."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import Select, Table, exists, literal, select, tuple_

from sidecar.archive import schema
from sidecar.archive.bookkeeping import AccountKey, totals_of
from sidecar.archive.database import Database, Transaction
from sidecar.archive.rows import FIRST_HASH, count_rows, moves_of, posting_rows, row_hash
from sidecar.archive.schema import AccountRow, CountRow, EntryRow, PostingRow, row_of
from sidecar.domain.history import BrokenLink

_PAGE = 1_000

R = TypeVar("R", PostingRow, CountRow)


async def broken_links(database: Database, customer_id: str | None) -> AsyncIterator[BrokenLink]:
    """Everything that is not as it was written, account by account, in bounded memory."""
    last: EntryRow | None = None
    while True:
        async with database.reading() as transaction:
            rows = await _entry_rows(transaction, customer_id, last)
            postings = await _rows_of(transaction, schema.postings, PostingRow, rows)
            counts = await _rows_of(transaction, schema.counts, CountRow, rows)
            ended = _ended(last, rows)
            found = [
                *_follow(last, rows, postings, counts),
                *[each async for each in _check_ends(transaction, ended)],
            ]
        for each in found:
            yield each
        if not rows:
            break
        last = rows[-1]
    async with database.reading() as transaction:
        lost = [each async for each in _lost_accounts(transaction, customer_id)]
        stray = [each async for each in _stray(transaction, schema.postings, customer_id)]
        stray += [each async for each in _stray(transaction, schema.counts, customer_id)]
    for each in (*lost, *stray):
        yield each


def _follow(
    last: EntryRow | None,
    rows: Sequence[EntryRow],
    postings: Mapping[str, list[PostingRow]],
    counts: Mapping[str, list[CountRow]],
) -> Iterator[BrokenLink]:
    before = last
    for row in rows:
        first = before is None or _account(before) != _account(row)
        prev_hash, prev_seq = (FIRST_HASH, 0) if first or before is None else (before.hash, before.seq)
        if row_hash(row) != row.hash:
            yield _broken(row, "hash", "It is not what it was when it was archived.")
        elif posting_rows(row, moves_of(row)) != postings[row.entry_id]:
            yield _broken(row, "postings", "Its postings are not the legs of its moves.")
        elif count_rows(row) != counts[row.entry_id]:
            yield _broken(row, "counts", "Its counts are not what it counted.")
        if row.prev_hash != prev_hash:
            yield _broken(row, "link", "It does not follow the entry that stands before it.")
        if row.seq != prev_seq + 1:
            yield _broken(row, "seq", f"It has number {row.seq} and follows number {prev_seq}.")
        before = row


def _ended(last: EntryRow | None, rows: Sequence[EntryRow]) -> list[EntryRow]:
    """The last entries of the accounts that `rows` show to have no more."""
    ended: list[EntryRow] = []
    before = last
    for row in rows or (None,):
        if before is not None and (row is None or _account(before) != _account(row)):
            ended.append(before)
        before = row
    return ended


async def _check_ends(transaction: Transaction, ended: Sequence[EntryRow]) -> AsyncIterator[BrokenLink]:
    if not ended:
        return
    keys = [_account(row) for row in ended]
    found = await transaction.bulk.fetch(schema.accounts, ["customer_id", "unit"], keys)
    accounts = {(row.customer_id, row.unit): row for row in (row_of(AccountRow, values) for values in found)}
    for row in ended:
        account = accounts.get(_account(row))
        if account is None:
            yield _broken(row, "end", "Its account is missing.")
        elif account.entry_id > row.entry_id and await _archived(transaction, account):
            # The account went on after we had read its entries.
            continue
        elif (account.entry_id, account.hash) != (row.entry_id, row.hash):
            yield _broken(row, "end", f"The last entry of its account was {account.entry_id}, number {account.seq}.")
        elif account.seq != row.seq or any(
            getattr(row, f"after_{name}") != amount
            for name, amount in msgspec.structs.asdict(totals_of(account)).items()
        ):
            yield _broken(row, "end", "Its account has other totals, or another number of entries.")


async def _archived(transaction: Transaction, account: AccountRow) -> bool:
    """Whether the entry that the account names as its last is there, and is its own."""
    found = await transaction.bulk.fetch(schema.entries, ["entry_id"], [(account.entry_id,)])
    return any(_account(row_of(EntryRow, values)) == (account.customer_id, account.unit) for values in found)


async def _lost_accounts(transaction: Transaction, customer_id: str | None) -> AsyncIterator[BrokenLink]:
    """Accounts without any entry."""
    table, kept = schema.accounts, schema.entries
    statement = select(table).where(
        ~exists().where(kept.c.customer_id == table.c.customer_id, kept.c.unit == table.c.unit)
    )
    if customer_id is not None:
        statement = statement.where(table.c.customer_id == customer_id)
    for values in await transaction.connection.execute(statement):
        row = row_of(AccountRow, values)
        yield BrokenLink(
            customer_id=row.customer_id,
            unit=row.unit,
            entry_id=row.entry_id,
            seq=row.seq,
            what="end",
            detail=f"All its {row.seq} entries are missing.",
        )


async def _stray(transaction: Transaction, table: Table, customer_id: str | None) -> AsyncIterator[BrokenLink]:
    """Postings or counts without an entry."""
    kept = schema.entries
    statement = select(table).where(~exists().where(kept.c.entry_id == table.c.entry_id)).limit(_PAGE)
    if customer_id is not None:
        statement = statement.where(table.c.customer_id == customer_id)
    for row in await transaction.connection.execute(statement):
        yield BrokenLink(
            customer_id=row.customer_id,
            unit=row._mapping.get("unit", ""),
            entry_id=row.entry_id,
            seq=0,
            what=table.name,
            detail="There is no such entry.",
        )


async def _entry_rows(transaction: Transaction, customer_id: str | None, last: EntryRow | None) -> list[EntryRow]:
    table = schema.entries
    order = (table.c.customer_id, table.c.unit, table.c.entry_id)
    statement: Select[tuple[object, ...]] = select(table).order_by(*order).limit(_PAGE)
    if customer_id is not None:
        statement = statement.where(table.c.customer_id == customer_id)
    if last is not None:
        mark = (literal(last.customer_id), literal(last.unit), literal(last.entry_id))
        statement = statement.where(tuple_(*order) > tuple_(*mark))
    return [row_of(EntryRow, row) for row in await transaction.connection.execute(statement)]


async def _rows_of(
    transaction: Transaction, table: Table, kind: type[R], rows: Sequence[EntryRow]
) -> Mapping[str, list[R]]:
    """By entry, what the ledger has beside it, in order."""
    found: defaultdict[str, list[R]] = defaultdict(list)
    if rows:
        ids = [(row.entry_id,) for row in rows]
        for values in sorted(await transaction.bulk.fetch(table, ["entry_id"], ids)):
            found[str(values[0])].append(row_of(kind, values))
    return found


def _account(row: EntryRow) -> AccountKey:
    return row.customer_id, row.unit


def _broken(row: EntryRow, what: str, detail: str) -> BrokenLink:
    return BrokenLink(
        customer_id=row.customer_id, unit=row.unit, entry_id=row.entry_id, seq=row.seq, what=what, detail=detail
    )
