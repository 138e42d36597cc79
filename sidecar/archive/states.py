"""All that the archive knows of each customer: what `verify` compares with the store, and `rebuild` makes it from."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import Table, select, union

from sidecar.archive import schema
from sidecar.archive.bookkeeping import totals_of
from sidecar.archive.database import Database, Transaction
from sidecar.archive.schema import AccountRow, BlockRow, CustomerRow, KeyRow, PoolCapRow, SpendCapsRow, row_of
from sidecar.domain.blocks import Block, BlockState, Grant
from sidecar.domain.history import AccountState, BusinessKey, CustomerState, KeyState

_PAGE = 100

R = TypeVar("R", AccountRow, BlockRow, CustomerRow, KeyRow, PoolCapRow, SpendCapsRow)


async def customer_states(
    database: Database, partition: int | None, customer_id: str | None
) -> AsyncIterator[CustomerState]:
    """In the order of their ids, in bounded memory; what one state says belongs together."""
    last = ""
    while True:
        async with database.reading() as transaction:
            ids = await _ids(transaction, partition, customer_id, last)
            states = await _states(transaction, ids)
        for state in states:
            yield state
        if len(ids) < _PAGE:
            return
        last = ids[-1]


async def _ids(transaction: Transaction, partition: int | None, customer_id: str | None, last: str) -> list[str]:
    parts = []
    for table in (schema.customers, schema.accounts):
        part = select(table.c.customer_id).where(table.c.customer_id > last).order_by(table.c.customer_id)
        if partition is not None:
            part = part.where(table.c.partition == partition)
        if customer_id is not None:
            part = part.where(table.c.customer_id == customer_id)
        parts.append(select(part.distinct().limit(_PAGE).subquery().c.customer_id))
    statement = union(*parts).order_by("customer_id").limit(_PAGE)
    return list((await transaction.connection.execute(statement)).scalars())


async def _states(transaction: Transaction, ids: Sequence[str]) -> list[CustomerState]:
    if not ids:
        return []
    customers = await _of(transaction, schema.customers, CustomerRow, ids)
    accounts = await _of(transaction, schema.accounts, AccountRow, ids)
    blocks = await _of(transaction, schema.blocks, BlockRow, ids)
    keys = await _of(transaction, schema.keys, KeyRow, ids)
    caps = await _of(transaction, schema.pool_caps, PoolCapRow, ids)
    spend = await _of(transaction, schema.spend_caps, SpendCapsRow, ids)
    return [
        _state(each, customers[each], accounts[each], blocks[each], keys[each], caps[each], spend[each])
        for each in ids
    ]


async def _of(transaction: Transaction, table: Table, kind: type[R], ids: Sequence[str]) -> dict[str, list[R]]:
    rows: defaultdict[str, list[R]] = defaultdict(list)
    for values in await transaction.bulk.fetch(table, ["customer_id"], [(each,) for each in ids]):
        row = row_of(kind, values)
        rows[row.customer_id].append(row)
    return rows


def _state(
    customer_id: str,
    customers: Sequence[CustomerRow],
    accounts: Sequence[AccountRow],
    blocks: Sequence[BlockRow],
    keys: Sequence[KeyRow],
    caps: Sequence[PoolCapRow],
    spend_caps: Sequence[SpendCapsRow],
) -> CustomerState:
    ordered = sorted(blocks, key=lambda row: (row.unit, row.number))
    return CustomerState(
        customer_id=customer_id,
        partition=customers[0].partition if customers else accounts[0].partition,
        data=_decoded(customers[0].data) if customers else None,
        keys=tuple(
            KeyState(key_id=row.key_id, revoked=bool(row.revoked), data=_decoded(row.data))
            for row in sorted(keys, key=lambda row: row.key_id)
        ),
        pool_caps={row.unit: row.cap for row in sorted(caps, key=lambda row: row.unit)},
        spend_caps={row.unit: row.caps for row in sorted(spend_caps, key=lambda row: row.unit) if row.caps},
        accounts=tuple(
            _account(row, [block for block in ordered if block.unit == row.unit])
            for row in sorted(accounts, key=lambda row: row.unit)
        ),
        business_keys=tuple(key for row in ordered for key in _business_keys(row)),
    )


def _account(row: AccountRow, blocks: Sequence[BlockRow]) -> AccountState:
    return AccountState(
        unit=row.unit,
        seq=row.seq,
        entry_id=row.entry_id,
        hash=row.hash.hex(),
        totals=totals_of(row),
        last_number=blocks[-1].number if blocks else 0,
        blocks=tuple(_block(block) for block in blocks if block.remaining and block.terms),
    )


def _block(row: BlockRow) -> Block:
    return Block(
        number=row.number,
        grant=_grant(row),
        state=BlockState(row.state),
        granted=row.granted,
        available=row.remaining,
        held=0,
        lapsed=row.expired + row.voided,
        created_at_ms=row.created_at_ms,
        starts_at_ms=row.starts_at_ms,
        expires_at_ms=row.expires_at_ms,
    )


def _business_keys(row: BlockRow) -> list[BusinessKey]:
    if not row.terms:
        return []
    grant = _grant(row)
    named = {
        "dedup_key": row.dedup_key, "external_payment_id": row.external_payment_id, "transfer": grant.transfer,
        "purchase": None if grant.purchase is None else grant.purchase.purchase_id,
    }  # fmt: skip
    return [
        BusinessKey(name=name, key=key, unit=row.unit, amount=row.granted, grant=grant)
        for name, key in named.items()
        if key is not None
    ]


def _grant(row: BlockRow) -> Grant:
    return msgspec.json.decode(row.terms, type=Grant)


def _decoded(data: str) -> dict[str, object]:
    return msgspec.json.decode(data, type=dict[str, object])
