"""Events as they are kept: numbered in the order in which they are committed, read from either end, dropped when old.

Whoever has seen the number of one can ask for what is behind it, and misses nothing.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple, replace
from sqlalchemy import ColumnElement, Select, delete, func, select

from sidecar.archive.database import Database, Transaction
from sidecar.archive.ordering import EVENTS, one_writer
from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.archive.schema import EventRow, customers, events
from sidecar.domain.errors import NotFound
from sidecar.domain.events import Event, EventFilter, EventType
from sidecar.domain.history import Page


async def append(transaction: Transaction, rows: Sequence[EventRow]) -> None:
    """Add events behind all others. It must be the last thing that a transaction does: others wait for its end."""
    if not rows:
        return
    await one_writer(transaction, EVENTS)
    last = (await transaction.connection.execute(select(func.max(events.c.sequence)))).scalar_one() or 0
    numbered = [replace(row, sequence=number) for number, row in enumerate(rows, last + 1)]
    await transaction.bulk.insert(events, [astuple(row) for row in numbered])


async def page(database: Database, wanted: EventFilter, cursor: str | None, limit: int) -> Page[Event]:
    """The newest first, or from behind `wanted.after` on the oldest first. InvalidInput for a cursor that is none."""
    number = events.c.sequence
    forward = wanted.after is not None
    statement = _shown().where(*_conditions(wanted)).order_by(number if forward else number.desc())
    if cursor is not None:
        (mark,) = mark_of(cursor, (int,))
        statement = statement.where(number > mark if forward else number < mark)
    async with database.reading() as transaction:
        rows = (await transaction.connection.execute(statement.limit(checked_limit(limit) + 1))).all()
    items = tuple(_event(row) for row in rows[:limit])
    return Page(items, cursor_of((items[-1].sequence,)) if len(rows) > limit else None)


async def one(database: Database, event_id: str) -> Event:
    """Raises NotFound."""
    async with database.reading() as transaction:
        row = (await transaction.connection.execute(_shown().where(events.c.event_id == event_id))).first()
    if row is None:
        raise NotFound(f"There is no event {event_id}, or it is no longer kept.")
    return _event(row)


async def drop(database: Database, before_ms: int) -> int:
    """Forget those of before then, but the newest of all, whose number the next one follows; how many they were."""
    newest = select(func.max(events.c.sequence)).scalar_subquery()
    old = delete(events).where(events.c.occurred_at_ms < before_ms, events.c.sequence < newest)
    async with database.writing() as transaction:
        return (await transaction.connection.execute(old)).rowcount


def _shown() -> Select[Any]:
    named = events.outerjoin(customers, customers.c.customer_id == events.c.customer_id)
    return select(events, customers.c.external_id).select_from(named)


def _conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.types:
        conditions.append(events.c.type.in_([each.value for each in wanted.types]))
    if wanted.customer_id is not None:
        conditions.append(events.c.customer_id == wanted.customer_id)
    if wanted.from_ms is not None:
        conditions.append(events.c.occurred_at_ms >= wanted.from_ms)
    if wanted.to_ms is not None:
        conditions.append(events.c.occurred_at_ms < wanted.to_ms)
    if wanted.after is not None:
        conditions.append(events.c.sequence > wanted.after)
    return conditions


def _event(row: Any) -> Event:
    return Event(
        sequence=row.sequence,
        event_id=row.event_id,
        type=EventType(row.type),
        customer_id=row.customer_id,
        external_id=row.external_id or "",
        unit=row.unit,
        occurred_at_ms=row.occurred_at_ms,
        data=msgspec.json.decode(row.data, type=dict[str, object]),
    )
