"""Documents with a version: written where the version is the expected one, read by what has changed since.

Changes are numbered in the order in which they are committed, so that whoever has seen one has seen all before it. A
removed document leaves its row, which says so and keeps its version.
"""

from msgspec.structs import astuple, replace
from sqlalchemy import func, select

from sidecar.archive.database import Database, Transaction
from sidecar.archive.ordering import DOCUMENTS, one_writer
from sidecar.archive.schema import DocumentRow, documents, row_of
from sidecar.domain.documents import Changes, Document
from sidecar.domain.errors import Conflict, NotFound, VersionConflict


async def put(database: Database, kind: str, key: str, body: bytes, expected: int | None, now_ms: int) -> Document:
    """Write the document if its version is `expected`: 0 when there must be none, None for any.

    Raises Conflict when there must be none and there is one, VersionConflict when it has another version.
    """
    async with database.writing() as transaction:
        kept = await _kept(transaction, kind, key)
        _check(kept, kind, key, expected)
        row = DocumentRow(
            kind=kind,
            key=key,
            body=body.decode(),
            version=kept.version + 1 if kept else 1,
            updated_at_ms=now_ms,
            removed=0,
            change=await _next_change(transaction),
        )
        await transaction.bulk.upsert(documents, [astuple(row)])
    return _document(row)


async def remove(database: Database, kind: str, key: str, expected: int | None, now_ms: int) -> None:
    """Remove the document if its version is `expected`, None for any.

    Raises NotFound when there is none, VersionConflict when it has another version.
    """
    async with database.writing() as transaction:
        kept = await _kept(transaction, kind, key)
        if kept is None or kept.removed:
            raise NotFound(f"There is no {_words(kind)} {key!r}.")
        _check(kept, kind, key, expected)
        change = await _next_change(transaction)
        row = replace(kept, body="", updated_at_ms=now_ms, removed=1, change=change)
        await transaction.bulk.upsert(documents, [astuple(row)])


async def changes(database: Database, after: int) -> Changes:
    """All that has changed after the change `after`; 0 for everything."""
    async with database.reading() as transaction:
        found = await transaction.connection.execute(
            documents.select().where(documents.c.change > after).order_by(documents.c.change)
        )
        rows = [row_of(DocumentRow, row) for row in found]
    return Changes(
        documents=tuple(_document(row) for row in rows if not row.removed),
        removed=tuple((row.kind, row.key) for row in rows if row.removed),
        upto=rows[-1].change if rows else after,
    )


async def _kept(transaction: Transaction, kind: str, key: str) -> DocumentRow | None:
    await one_writer(transaction, DOCUMENTS)
    where = (documents.c.kind == kind) & (documents.c.key == key)
    row = (await transaction.connection.execute(documents.select().where(where))).first()
    return row_of(DocumentRow, row) if row is not None else None


def _check(kept: DocumentRow | None, kind: str, key: str, expected: int | None) -> None:
    if expected is None:
        return
    version = kept.version if kept and not kept.removed else 0
    if expected == 0 and version:
        raise Conflict(f"There is a {_words(kind)} {key!r} already.")
    if expected != version:
        there = f"has version {version} now" if version else "is gone"
        raise VersionConflict(f"The {_words(kind)} {key!r} {there}, not {expected}: read it again, then change it.")


async def _next_change(transaction: Transaction) -> int:
    last = (await transaction.connection.execute(select(func.max(documents.c.change)))).scalar_one()
    return (last or 0) + 1


def _document(row: DocumentRow) -> Document:
    return Document(
        kind=row.kind,
        key=row.key,
        version=row.version,
        body=row.body.encode(),
        updated_at_ms=row.updated_at_ms,
    )


def _words(kind: str) -> str:
    return kind.replace("_", " ")
