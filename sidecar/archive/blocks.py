"""What became of blocks, live or not: of one, and of all that somebody has paid for."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import func, select

from sidecar.archive import schema
from sidecar.archive.database import Database, Transaction
from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.archive.schema import BlockRow, row_of
from sidecar.domain.blocks import Grant
from sidecar.domain.history import BlockSums, Page
from sidecar.domain.journal import Kind
from sidecar.domain.topups import TOPUP, is_topup

_AT_ONCE = 500


async def block_sums(database: Database, customer_id: str, block_id: str) -> BlockSums | None:
    """Of a customer's block; None: it has none of this id."""
    blocks = schema.blocks
    wanted = select(blocks).where(blocks.c.customer_id == customer_id, blocks.c.block_id == block_id)
    async with database.reading() as transaction:
        found = (await transaction.connection.execute(wanted)).one_or_none()
        if found is None:
            return None
        row = row_of(BlockRow, tuple(found))
        taken_back = await _taken_back(transaction, customer_id, [block_id])
    return _sums(row, taken_back)


async def topups_page(database: Database, customer_id: str, cursor: str | None, limit: int) -> Page[BlockSums]:
    """The blocks that a customer's top-ups made, the newest first, without what came with them."""
    last = "~" if cursor is None else str(mark_of(cursor, (str,))[0])
    rows, wanted = list[BlockRow](), checked_limit(limit) + 1
    blocks = schema.blocks
    # Its terms only may say so: what they say is looked at.
    bought = blocks.c.terms.contains(f'"source":"{TOPUP}"', autoescape=True)
    async with database.reading() as transaction:
        while len(rows) < wanted:
            statement = (
                select(blocks)
                .where(blocks.c.customer_id == customer_id, bought, blocks.c.block_id < last)
                .order_by(blocks.c.block_id.desc())
                .limit(_AT_ONCE)
            )
            found = [row_of(BlockRow, values) for values in await transaction.connection.execute(statement)]
            rows += [row for row in found if is_topup(_grant(row))]
            if len(found) < _AT_ONCE:
                break
            last = found[-1].block_id
        shown = rows[:limit]
        taken_back = await _taken_back(transaction, customer_id, [row.block_id for row in shown])
    more = len(rows) > limit
    return Page(tuple(_sums(row, taken_back) for row in shown), cursor_of((shown[-1].block_id,)) if more else None)


async def _taken_back(transaction: Transaction, customer_id: str, block_ids: Sequence[str]) -> dict[str, int]:
    entries = schema.entries
    taken = (
        select(entries.c.reservation_id, func.sum(entries.c.charged + entries.c.uncollected))
        .where(
            entries.c.reservation_id.in_(block_ids),
            entries.c.customer_id == customer_id,
            entries.c.type == Kind.CHARGEBACK.value,
        )
        .group_by(entries.c.reservation_id)
    )
    return {block_id: int(amount) for block_id, amount in await transaction.connection.execute(taken)}


def _sums(row: BlockRow, taken_back: dict[str, int]) -> BlockSums:
    return BlockSums(
        unit=row.unit,
        granted=row.granted,
        spent=row.spent,
        remaining=row.remaining,
        taken_back=taken_back.get(row.block_id, 0),
        grant=_grant(row),
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
    )


def _grant(row: BlockRow) -> Grant:
    return msgspec.json.decode(row.terms, type=Grant)
