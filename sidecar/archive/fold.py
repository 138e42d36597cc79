"""What the postings of one account come to: the ledger added up, not what was noted beside it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select

from sidecar.archive import schema
from sidecar.archive.database import Database
from sidecar.archive.schema import EntryRow
from sidecar.domain.blocks import Grant
from sidecar.domain.history import LegKind
from sidecar.domain.journal import Kind, Totals
from sidecar.domain.periods import SERIES, Closed, Opened, PastPeriods, closed_of

_OF_PERIODS: Final = f'"series":"{SERIES}"'
"""In the terms of what a period brought."""

_COUNTED_AS: Final = {
    (LegKind.BALANCE, LegKind.ISSUED): ("granted", 1),
    (LegKind.BALANCE, LegKind.RECEIVED): ("granted", 1),
    (LegKind.BALANCE, LegKind.CONSUMED): ("spent", -1),
    (LegKind.BALANCE, LegKind.SENT): ("spent", -1),
    (LegKind.BALANCE, LegKind.OWED): ("spent", -1),
    (LegKind.BALANCE, LegKind.EXPIRED): ("expired", -1),
    (LegKind.BALANCE, LegKind.VOIDED): ("voided", -1),
    (LegKind.OWED, LegKind.CONSUMED): ("owed", -1),
    (LegKind.OWED, LegKind.SENT): ("owed", -1),
    (LegKind.OWED, LegKind.BALANCE): ("owed", -1),
}
"""What a leg of the customer's is counted as, by the leg opposite to it, and with which sign."""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts of a block, or of an account."""

    granted: int = 0
    spent: int = 0
    expired: int = 0
    voided: int = 0
    owed: int = 0
    """Only of an account."""

    @property
    def remaining(self) -> int:
        """Scheduled, available or held."""
        return self.granted - self.spent - self.expired - self.voided


class Fold(msgspec.Struct, frozen=True, kw_only=True):
    """An account as its postings make it."""

    entries: int
    last_seq: int
    """The number of the newest of them; 0 when there is none."""
    noted: Totals
    """The account after it, as that entry has it."""
    sums: Sums
    blocks: dict[int, Sums]
    members: dict[str, int]
    """What the members of its pool were charged."""
    refunded: dict[str, int]
    """What was given back of each charge, by its entry."""
    periods: PastPeriods
    strangers: tuple[str, ...]
    """Legs that stand opposite to what they never stand opposite to."""


async def fold(database: Database, customer_id: str, unit: str, upto: str) -> Fold:
    """The sums of the account's entries up to the id `upto`."""
    entries = schema.entries
    theirs = and_(entries.c.customer_id == customer_id, entries.c.unit == unit, entries.c.entry_id <= upto)
    newest = select(entries).where(theirs).order_by(entries.c.entry_id.desc()).limit(1)
    of_members = (
        select(
            entries.c.asker_id,
            func.sum(case((entries.c.type == Kind.REFUND.value, -entries.c.charged), else_=entries.c.charged)),
        )
        .where(theirs, entries.c.asker_id.not_in(["", customer_id]))
        .group_by(entries.c.asker_id)
    )
    of_refunds = select(entries.c.detail, entries.c.charged).where(theirs, entries.c.type == Kind.REFUND.value)
    of_periods = (
        select(entries)
        .where(
            theirs,
            or_(
                entries.c.type == Kind.PERIOD_CLOSE.value,
                and_(entries.c.type == Kind.GRANT.value, entries.c.terms.contains(_OF_PERIODS)),
            ),
        )
        .order_by(entries.c.entry_id)
    )
    async with database.reading() as transaction:
        connection = transaction.connection
        count = (await connection.execute(select(func.count()).select_from(entries).where(theirs))).scalar_one()
        last = (await connection.execute(newest)).one_or_none()
        legs = (await connection.execute(_legs(theirs))).all()
        members = (await connection.execute(of_members)).all()
        refunds = (await connection.execute(of_refunds)).all()
        periods = [schema.row_of(EntryRow, tuple(row)) for row in await connection.execute(of_periods)]
    sums, blocks, strangers = Counter[str](), defaultdict[int, Counter[str]](Counter), list[str]()
    for account, block, opposite, amount in legs:
        counted = _COUNTED_AS.get((account, opposite))
        if counted is None:
            strangers.append(f"{account}/{opposite}: {amount}")
            continue
        name, sign = counted
        sums[name] += sign * int(amount)
        if block:
            blocks[block][name] += sign * int(amount)
    noted = {name: 0 if last is None else getattr(last, f"after_{name}") for name in Totals.__struct_fields__}
    refunded = Counter[str]()
    for detail, charged in refunds:
        refunded[msgspec.json.decode(detail)["reference"]] += charged
    return Fold(
        entries=count,
        last_seq=0 if last is None else last.seq,
        noted=Totals(**noted),
        sums=Sums(**sums),
        blocks={number: Sums(**amounts) for number, amounts in blocks.items()},
        members={member: int(charged) for member, charged in members},
        refunded=dict(refunded),
        periods=_periods(periods),
        strangers=tuple(strangers),
    )


def _periods(entries: Sequence[EntryRow]) -> PastPeriods:
    closed, opened = dict[int, Closed](), dict[int, Opened]()
    for entry in entries:
        if entry.type == Kind.PERIOD_CLOSE:
            ends_at_ms, became = closed_of(msgspec.json.decode(entry.detail)["period"])
            closed[ends_at_ms] = became
            continue
        grant = msgspec.json.decode(entry.terms, type=Grant)
        if grant.period_starts_at_ms is not None:
            balance = entry.after_available + entry.after_held - entry.after_owed
            opened[grant.period_starts_at_ms] = Opened(block_id=grant.block_id, amount=grant.amount, balance=balance)
    return PastPeriods(closed=closed, opened=opened)


async def known_accounts(database: Database, customer_ids: Sequence[str]) -> dict[str, set[str]]:
    """Those of the customers that were ever archived, with the units that they have accounts in."""
    wanted = [(customer_id,) for customer_id in customer_ids]
    async with database.reading() as transaction:
        customers = await transaction.bulk.fetch(schema.customers, ["customer_id"], wanted)
        accounts = await transaction.bulk.fetch(schema.accounts, ["customer_id"], wanted)
    known = {str(row[0]): set[str]() for row in (*customers, *accounts)}
    for row in accounts:
        known[str(row[0])].add(str(row[1]))
    return known


def _legs(theirs: ColumnElement[bool]) -> Select[Any]:
    """The customer's legs, added up by account, block and the leg opposite to each: legs come in pairs."""
    entries, own, other = schema.entries, schema.postings.alias("own"), schema.postings.alias("other")
    opposite = and_(other.c.entry_id == own.c.entry_id, other.c.leg != own.c.leg, other.c.leg // 2 == own.c.leg // 2)
    return (
        select(own.c.account, own.c.block, other.c.account, func.sum(own.c.amount))
        .select_from(entries.join(own, own.c.entry_id == entries.c.entry_id).join(other, opposite))
        .where(theirs, own.c.account.in_([LegKind.BALANCE.value, LegKind.OWED.value]))
        .group_by(own.c.account, own.c.block, other.c.account)
    )
