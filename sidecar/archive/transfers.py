"""What was sent from one customer to another and has not arrived, as far as the archive knows."""

from collections.abc import AsyncIterator

import msgspec
from sqlalchemy import Select, func, literal_column, select

from sidecar.archive import schema
from sidecar.archive.database import Database, Transaction
from sidecar.archive.rows import moves_of
from sidecar.archive.schema import BlockRow, EntryRow, row_of
from sidecar.domain.blocks import BlockState, Grant
from sidecar.domain.journal import Kind, Moved
from sidecar.domain.transfers import Piece, Transfer, Way

_PAGE = 200


async def not_arrived(database: Database, transfer_id: str | None = None) -> AsyncIterator[Transfer]:
    """All of them, or the one with this id, in bounded memory; what arrives meanwhile may be among them."""
    last = ""
    while True:
        async with database.reading() as transaction:
            rows = (await transaction.connection.execute(_sent(transfer_id, last))).all()
            found = [
                await _transfer(transaction, row_of(EntryRow, tuple(row)[:-1]))
                for row in rows
                if row.arrived < len(moves_of(row_of(EntryRow, tuple(row)[:-1])))
            ]
        for transfer in found:
            yield transfer
        if len(rows) < _PAGE:
            return
        last = rows[-1].entry_id


def _sent(transfer_id: str | None, last: str) -> Select[tuple[object, ...]]:
    sent, received = schema.entries, schema.entries.alias("received")
    arrived = (
        select(func.count())
        .where(
            received.c.reservation_id == sent.c.reservation_id,
            received.c.reservation_id != literal_column("''"),
            received.c.type == Kind.TRANSFER_IN.value,
        )
        .scalar_subquery()
    )
    statement = select(sent, arrived.label("arrived")).where(
        sent.c.type == Kind.TRANSFER_OUT.value, sent.c.entry_id > last
    )
    if transfer_id is not None:
        statement = statement.where(sent.c.reservation_id == transfer_id)
    return statement.order_by(sent.c.entry_id).limit(_PAGE)


async def _transfer(transaction: Transaction, row: EntryRow) -> Transfer:
    """Its pieces are its moves, in their order; their blocks are as they were, but for an expiry moved since."""
    moves = moves_of(row)
    wanted = [(row.customer_id, row.unit, move.block) for move in moves if move.block]
    found = await transaction.bulk.fetch(schema.blocks, ["customer_id", "unit", "number"], wanted) if wanted else []
    blocks = {block.number: block for block in (row_of(BlockRow, values) for values in found)}
    numbers = {block.block_id: block.number for block in blocks.values()}
    detail = msgspec.json.decode(row.detail, type=dict[str, str])
    reason, to_id = detail.pop("why", ""), detail.pop("counterparty", "")
    return Transfer(
        way=Way(
            transfer_id=row.reservation_id,
            from_id=row.customer_id,
            to_id=to_id,
            unit=row.unit,
            reason=reason,
            detail=detail,
        ),
        pieces=tuple(
            Piece(number=0, amount=move.amount, granted=move.amount)
            if move.what is Moved.OWED
            else _piece(blocks[move.block], move.amount, numbers)
            for move in moves
        ),
    )


def _piece(block: BlockRow, amount: int, numbers: dict[str, int]) -> Piece:
    terms, state = msgspec.json.decode(block.terms, type=Grant), BlockState(block.state)
    waits = state is BlockState.QUEUED
    return Piece(
        number=block.number,
        after=numbers.get(terms.starts_after_block_id or "", 0) if waits else 0,
        state=state if state in {BlockState.SCHEDULED, BlockState.QUEUED} else BlockState.ACTIVE,
        amount=amount,
        granted=block.granted,
        starts_at_ms=block.starts_at_ms or 0,
        ends_at_ms=terms.duration_ms if waits else block.expires_at_ms,
        terms=terms,
    )
