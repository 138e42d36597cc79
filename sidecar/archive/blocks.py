"""What became of one block, live or not."""

import msgspec
from sqlalchemy import func, select

from sidecar.archive import schema
from sidecar.archive.database import Database
from sidecar.archive.schema import BlockRow, row_of
from sidecar.domain.blocks import Grant
from sidecar.domain.history import BlockSums
from sidecar.domain.journal import Kind


async def block_sums(database: Database, customer_id: str, block_id: str) -> BlockSums | None:
    """Of a customer's block; None: it has none of this id."""
    blocks, entries = schema.blocks, schema.entries
    wanted = select(blocks).where(blocks.c.customer_id == customer_id, blocks.c.block_id == block_id)
    taken = select(func.coalesce(func.sum(entries.c.charged + entries.c.uncollected), 0)).where(
        entries.c.reservation_id == block_id,
        entries.c.customer_id == customer_id,
        entries.c.type == Kind.CHARGEBACK.value,
    )
    async with database.reading() as transaction:
        found = (await transaction.connection.execute(wanted)).one_or_none()
        if found is None:
            return None
        taken_back = int((await transaction.connection.execute(taken)).scalar_one())
    row = row_of(BlockRow, tuple(found))
    return BlockSums(
        unit=row.unit,
        granted=row.granted,
        spent=row.spent,
        remaining=row.remaining,
        taken_back=taken_back,
        grant=msgspec.json.decode(row.terms, type=Grant),
    )
