"""What is watched for on balances, as it is kept: one record of a kind for each balance, or for everybody's."""

from collections.abc import Sequence

from msgspec.structs import astuple
from sqlalchemy import ColumnElement, and_, delete

from sidecar.archive import topup_requests
from sidecar.archive.database import Database, Transaction
from sidecar.archive.ordering import WATCHES, one_writer
from sidecar.archive.schema import AccountRow, WatchRow, accounts, row_of, watches
from sidecar.domain.errors import NotFound, VersionConflict
from sidecar.domain.watches import Watch, WatchKind


async def put(
    database: Database, kind: WatchKind, customer_id: str, unit: str, body: bytes, expected: int | None, now_ms: int
) -> Watch:
    """Write it, if its version is `expected`, None for any. Raises VersionConflict."""
    async with database.writing() as transaction:
        kept = await _kept(transaction, kind, customer_id, unit, expected)
        row = WatchRow(
            customer_id=customer_id,
            unit=unit,
            kind=kind.value,
            body=body.decode(),
            version=1 if kept is None else kept.version + 1,
            updated_at_ms=now_ms,
        )
        await transaction.bulk.upsert(watches, [astuple(row)])
        low = await _low(transaction, customer_id)
    return _watch(row, low)


async def remove(
    database: Database, kind: WatchKind, customer_id: str, unit: str, expected: int | None, now_ms: int
) -> None:
    """Take it away, and what it asks for. Raises NotFound, VersionConflict."""
    async with database.writing() as transaction:
        if await _kept(transaction, kind, customer_id, unit, expected) is None:
            raise NotFound(f"There is nothing of {unit} to remove here.")
        await transaction.connection.execute(delete(watches).where(_place(kind, customer_id, unit)))
        if kind is WatchKind.AUTO_TOPUP:
            await topup_requests.cancel(transaction, customer_id, unit, now_ms)


async def of(database: Database, kind: WatchKind, customer_ids: Sequence[str]) -> list[Watch]:
    """Those of some customers, in the order of the units."""
    theirs = watches.c.customer_id.in_(customer_ids)
    statement = watches.select().where(watches.c.kind == kind.value, theirs).order_by(watches.c.unit)
    async with database.reading() as transaction:
        rows = [row_of(WatchRow, row) for row in await transaction.connection.execute(statement)]
        low = {unit: each for owner in customer_ids for unit, each in (await _low(transaction, owner)).items()}
    return [_watch(row, low) for row in rows]


async def _kept(
    transaction: Transaction, kind: WatchKind, customer_id: str, unit: str, expected: int | None
) -> WatchRow | None:
    await one_writer(transaction, WATCHES)
    row = (await transaction.connection.execute(watches.select().where(_place(kind, customer_id, unit)))).first()
    kept = None if row is None else row_of(WatchRow, row)
    if expected not in {None, 0 if kept is None else kept.version}:
        raise VersionConflict(f"It has version {0 if kept is None else kept.version} now: read it again.")
    return kept


async def _low(transaction: Transaction, customer_id: str) -> dict[str, tuple[int, ...]]:
    rows = await transaction.bulk.fetch(accounts, ["customer_id"], [(customer_id,)])
    states = [row_of(AccountRow, row) for row in rows]
    return {row.unit: tuple(map(int, row.low.split(","))) for row in states if row.low}


def _place(kind: WatchKind, customer_id: str, unit: str) -> ColumnElement[bool]:
    return and_(watches.c.kind == kind.value, watches.c.customer_id == customer_id, watches.c.unit == unit)


def _watch(row: WatchRow, low: dict[str, tuple[int, ...]]) -> Watch:
    return Watch(
        kind=WatchKind(row.kind),
        customer_id=row.customer_id,
        unit=row.unit,
        body=row.body.encode(),
        version=row.version,
        updated_at_ms=row.updated_at_ms,
        low=low.get(row.unit, ()),
    )
