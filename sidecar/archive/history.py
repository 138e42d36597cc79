"""Reads the ledger: entries by many criteria, page by page or all of them, and balances of the past."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import ColumnElement, Select, literal, literal_column, select, tuple_

from sidecar.archive import schema
from sidecar.archive.bulk import Bulk
from sidecar.archive.database import Database, Transaction
from sidecar.archive.paging import Mark, checked_limit, cursor_of, mark_of
from sidecar.archive.rows import counted_of, moves_of
from sidecar.archive.schema import EntryRow, row_of
from sidecar.domain.amounts import checked
from sidecar.domain.blocks import BLOCKS_MAX, Grant
from sidecar.domain.history import Anomaly, Entry, EntryFilter, EntryMove, Page
from sidecar.domain.journal import BlockImage, Kind, Totals

_EXPORT_PAGE = 1_000
_BURST_MAX = 2 * BLOCKS_MAX
"""Most lines that one operation writes about what fell due before it: a start and an end of each live block."""
_MS_MAX = 2**48 - 1
_BY_TIME = (schema.entries.c.event_at_ms, schema.entries.c.entry_id)

BlockIds = Mapping[tuple[str, str, int], str]


async def entries_page(database: Database, wanted: EntryFilter, cursor: str | None, limit: int) -> Page[Entry]:
    """Newest first."""
    statement = _filtered(wanted).order_by(*(column.desc() for column in _BY_TIME)).limit(checked_limit(limit) + 1)
    if cursor is not None:
        statement = statement.where(tuple_(*_BY_TIME) < tuple_(*_literals(mark_of(cursor, (int, str)))))
    async with database.reading() as transaction:
        rows = await _entry_rows(transaction, statement)
        items = await _entries(transaction.bulk, rows[:limit])
    more = len(rows) > limit
    return Page(items, cursor_of((rows[limit - 1].event_at_ms, rows[limit - 1].entry_id)) if more else None)


async def export(database: Database, wanted: EntryFilter) -> AsyncIterator[Entry]:
    """All entries, oldest first, in bounded memory. What is archived meanwhile may or may not be among them."""
    statement = _filtered(wanted).order_by(*_BY_TIME).limit(_EXPORT_PAGE)
    mark: Mark = (-1, "")
    while True:
        async with database.reading() as transaction:
            rows = await _entry_rows(transaction, statement.where(tuple_(*_BY_TIME) > tuple_(*_literals(mark))))
            items = await _entries(transaction.bulk, rows)
        for item in items:
            yield item
        if len(rows) < _EXPORT_PAGE:
            return
        mark = (rows[-1].event_at_ms, rows[-1].entry_id)


async def balance_at(database: Database, customer_id: str, at_ms: int) -> dict[str, Totals]:
    """The totals of each account of the customer after all that had happened by `at_ms`.

    What fell due before `at_ms` counts even where it was recorded later. A unit without an entry by then is missing.
    Held is as of the account's last entry: a hold alone writes none.
    """
    checked(at_ms, "at_ms")
    units = select(schema.accounts.c.unit).where(schema.accounts.c.customer_id == customer_id)
    found: dict[str, Totals] = {}
    async with database.reading() as transaction:
        for unit in sorted((await transaction.connection.execute(units)).scalars()):
            row = await _last_by(transaction, customer_id, unit, at_ms)
            if row is not None:
                found[unit] = _totals(row)
    return found


async def _last_by(transaction: Transaction, customer_id: str, unit: str, at_ms: int) -> EntryRow | None:
    table = schema.entries
    account = select(table).where(table.c.customer_id == customer_id, table.c.unit == unit)
    border = f"ent_{min(at_ms, _MS_MAX):012x}ffffffff"
    recorded = account.where(table.c.entry_id <= border).order_by(table.c.entry_id.desc()).limit(1)
    later = account.where(table.c.entry_id > border).order_by(table.c.entry_id).limit(_BURST_MAX)
    overdue = [row for row in await _entry_rows(transaction, later) if _due_by(row, at_ms)]
    return next(iter(overdue[-1:] or await _entry_rows(transaction, recorded)), None)


def _due_by(row: EntryRow, at_ms: int) -> bool:
    """Whether it had happened by then and came to light later. Usage that is dated back is charged when heard of."""
    return row.type == Kind.EXPIRY.value and row.event_at_ms <= at_ms


async def anomalies_page(database: Database, cursor: str | None, limit: int) -> Page[Anomaly]:
    """Newest first."""
    table = schema.anomalies
    key = (table.c.entry_id, table.c.what)
    statement = select(table).order_by(*(column.desc() for column in key)).limit(checked_limit(limit) + 1)
    if cursor is not None:
        statement = statement.where(tuple_(*key) < tuple_(*_literals(mark_of(cursor, (str, str)))))
    async with database.reading() as transaction:
        rows = (await transaction.connection.execute(statement)).all()
    items = tuple(Anomaly(**row._mapping) for row in rows[:limit])
    return Page(items, cursor_of((items[-1].entry_id, items[-1].what)) if len(rows) > limit else None)


def _filtered(wanted: EntryFilter) -> Select[tuple[object, ...]]:
    table = schema.entries
    conditions: list[ColumnElement[bool]] = [
        table.c[name] == value
        for name in ("customer_id", "asker_id", "unit", "entry_id", "reservation_id", "feature", "rule")
        if (value := getattr(wanted, name)) is not None
    ]
    if wanted.reservation_id is not None:
        # Its index has no empty ones, which SQLite believes only when it reads it.
        conditions.append(table.c.reservation_id != literal_column("''"))
    if wanted.types:
        conditions.append(table.c.type.in_([kind.value for kind in wanted.types]))
    conditions += in_time(wanted.from_ms, wanted.to_ms)
    return select(table).where(*conditions)


def in_time(from_ms: int | None, to_ms: int | None) -> list[ColumnElement[bool]]:
    """Entries that happened from `from_ms` until before `to_ms`."""
    happened = schema.entries.c.event_at_ms
    from_condition = [] if from_ms is None else [happened >= checked(from_ms, "from_ms")]
    return from_condition + ([] if to_ms is None else [happened < checked(to_ms, "to_ms")])


def _literals(mark: Mark) -> Iterable[ColumnElement[str | int]]:
    return (literal(part) for part in mark)


async def _entry_rows(transaction: Transaction, statement: Select[tuple[object, ...]]) -> list[EntryRow]:
    return [row_of(EntryRow, row) for row in await transaction.connection.execute(statement)]


async def _entries(bulk: Bulk, rows: Sequence[EntryRow]) -> tuple[Entry, ...]:
    wanted = {(row.customer_id, row.unit, move.block) for row in rows for move in moves_of(row) if move.block}
    wanted |= {(row.customer_id, row.unit, image.number) for row in rows if (image := _image(row)) is not None}
    table = schema.blocks
    found = await bulk.fetch(table, ["customer_id", "unit", "number"], list(wanted)) if wanted else []
    blocks = [row_of(schema.BlockRow, values) for values in found]
    ids = {(block.customer_id, block.unit, block.number): block.block_id for block in blocks}
    return tuple(_entry(row, ids) for row in rows)


def _entry(row: EntryRow, ids: BlockIds) -> Entry:
    image = _image(row)

    def block_id(number: int) -> str:
        return ids.get((row.customer_id, row.unit, number), "")

    return Entry(
        entry_id=row.entry_id,
        customer_id=row.customer_id,
        unit=row.unit,
        seq=row.seq,
        type=Kind(row.type),
        event_at_ms=row.event_at_ms,
        recorded_at_ms=row.recorded_at_ms,
        delta=row.delta,
        owed_delta=row.owed_delta,
        after=_totals(row),
        moves=tuple(EntryMove(move.what, block_id(move.block), move.amount) for move in moves_of(row)),
        block_id="" if image is None else block_id(image.number),
        block=image,
        grant=msgspec.json.decode(row.terms, type=Grant) if row.terms else None,
        reservation_id=row.reservation_id,
        asker_id=row.asker_id,
        feature=row.feature,
        rule=row.rule,
        rules_version=row.rules_version,
        reserved_at_ms=row.reserved_at_ms,
        held=row.held,
        charged=row.charged,
        owed=row.owed,
        uncollected=row.uncollected,
        usage=row.usage,
        model=row.model,
        source=row.source,
        reason=row.reason,
        detail=msgspec.json.decode(row.detail, type=dict[str, str]) if row.detail else {},
        prev_hash=row.prev_hash.hex(),
        hash=row.hash.hex(),
        counted=counted_of(row),
    )


def _image(row: EntryRow) -> BlockImage | None:
    return msgspec.json.decode(row.block, type=BlockImage) if row.block else None


def _totals(row: EntryRow) -> Totals:
    return Totals(**{name: getattr(row, f"after_{name}") for name in Totals.__struct_fields__})
