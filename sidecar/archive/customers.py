"""Finds customers among all that were ever made, the newest first."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from sidecar.archive.database import Database
from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.archive.schema import customers
from sidecar.domain.customers import Customer
from sidecar.domain.history import CustomerFilter, Page

_LAST = "\U0010ffff"
"""The last of all characters: what begins with a text comes before the text and this."""


async def customers_page(
    database: Database, wanted: CustomerFilter, cursor: str | None, limit: int
) -> Page[Customer]:
    """The newest first; InvalidInput for a cursor that is none."""
    key = customers.c.customer_id
    statement = _filtered(wanted, postgresql=not database.address.path).order_by(key.desc())
    if cursor is not None:
        (last,) = mark_of(cursor, (str,))
        statement = statement.where(key < last)
    async with database.reading() as transaction:
        rows = (await transaction.connection.execute(statement.limit(checked_limit(limit) + 1))).scalars().all()
    items = tuple(msgspec.json.decode(data, type=Customer) for data in rows[:limit])
    return Page(items, cursor_of((items[-1].customer_id,)) if len(rows) > limit else None)


def _filtered(wanted: CustomerFilter, *, postgresql: bool) -> Select[Any]:
    statement = select(customers.c.data)
    for column, value in (("status", wanted.status), ("parent_id", wanted.parent_id)):
        if value is not None:
            statement = statement.where(customers.c[column] == value)
    if wanted.external_id_prefix:
        prefix, external_id = wanted.external_id_prefix, customers.c.external_id
        statement = statement.where(external_id >= prefix, external_id < prefix + _LAST)
    if wanted.words:
        words = wanted.words.lower()
        columns = (customers.c.external_id, customers.c.display_name)
        within = (func.lower(column).contains(words, autoescape=True) for column in columns)
        statement = statement.where(or_(*within))
    if wanted.metadata is not None:
        name, value = wanted.metadata
        statement = statement.where(_metadata(name, postgresql=postgresql) == value)
    return statement


def _metadata(name: str, *, postgresql: bool) -> ColumnElement[str]:
    if postgresql:
        value: ColumnElement[str] = cast(customers.c.data, JSONB)["metadata"][name].astext
        return value
    # A name may have any character: as a path of SQLite it would have to be quoted.
    metadata = func.json_extract(customers.c.data, "$.metadata")
    each = func.json_each(metadata).table_valued("key", "value")
    return select(each.c.value).where(each.c.key == name).scalar_subquery()
