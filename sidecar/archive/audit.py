"""The log of what was asked of the control API: appended, read from its end, never changed."""

from collections.abc import Sequence

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, literal, select

from sidecar.archive.database import Database
from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.archive.schema import audit, row_of
from sidecar.domain.audit import Audited, AuditFilter
from sidecar.domain.history import Page


async def append(database: Database, records: Sequence[Audited]) -> None:
    """All of them or none. One that is there already is not written twice."""
    known = select(audit.c.audit_id).where(audit.c.audit_id.in_([record.audit_id for record in records]))
    async with database.writing() as transaction:
        there = set((await transaction.connection.execute(known)).scalars())
        rows = [astuple(record) for record in records if record.audit_id not in there]
        if rows:
            await transaction.bulk.insert(audit, rows)


async def page(database: Database, wanted: AuditFilter, cursor: str | None, limit: int) -> Page[Audited]:
    """Newest first."""
    statement = select(audit).where(*_conditions(wanted)).order_by(audit.c.audit_id.desc())
    if cursor is not None:
        statement = statement.where(audit.c.audit_id < literal(mark_of(cursor, (str,))[0]))
    async with database.reading() as transaction:
        rows = (await transaction.connection.execute(statement.limit(checked_limit(limit) + 1))).all()
    items = tuple(row_of(Audited, row) for row in rows[:limit])
    return Page(items, cursor_of((items[-1].audit_id,)) if len(rows) > limit else None)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    equal = ("key_id", "actor_id", "operation", "customer_id")
    conditions: list[ColumnElement[bool]] = [
        audit.c[name] == value for name in equal if (value := getattr(wanted, name)) is not None
    ]
    if wanted.from_ms is not None:
        conditions.append(audit.c.at_ms >= wanted.from_ms)
    if wanted.to_ms is not None:
        conditions.append(audit.c.at_ms < wanted.to_ms)
    return conditions
