"""What a batch of journal lines makes of the accounts, blocks, customers and keys that it is about. Pure.

It believes the journal: what cannot be right is noted as an anomaly, and the line is archived as it came.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from sidecar.archive.rows import count_rows, entry_row, posting_rows
from sidecar.archive.schema import (
    AccountRow,
    AnomalyRow,
    BlockRow,
    CountRow,
    CustomerRow,
    EntryRow,
    KeyRow,
    PoolCapRow,
    PostingRow,
    SpendCapsRow,
)
from sidecar.archive.signals import Signals
from sidecar.domain.journal import Kind, Line, Moved, Record, Totals, entry_id

AccountKey = tuple[str, str]
BlockKey = tuple[str, str, int]
Sums = Sequence[int]
"""Amounts by `Moved`."""

_KINDS = max(Moved) + 1
_SOUGHT = ("external_id", "display_name", "status", "parent_id")
"""Of a customer's record: by what it is looked for."""

_encode = msgspec.json.Encoder().encode


class Books:
    """Starts from what is known of everything that the batch touches, takes its lines, and has the rows to write."""

    def __init__(
        self,
        accounts: Sequence[AccountRow] = (),
        blocks: Sequence[BlockRow] = (),
        keys: Sequence[KeyRow] = (),
        customers: Sequence[CustomerRow] = (),
        signals: Signals | None = None,
    ) -> None:
        self.signals = Signals() if signals is None else signals
        self.entries: list[EntryRow] = []
        self.postings: list[PostingRow] = []
        self.counts: list[CountRow] = []
        self.anomalies: dict[tuple[str, str], AnomalyRow] = {}
        self.accounts: dict[AccountKey, AccountRow] = {(row.customer_id, row.unit): row for row in accounts}
        self.blocks: dict[BlockKey, BlockRow] = {(row.customer_id, row.unit, row.number): row for row in blocks}
        self.customers: dict[str, CustomerRow] = {row.customer_id: row for row in customers}
        self.pool_caps: dict[AccountKey, PoolCapRow] = {}
        self.spend_caps: dict[AccountKey, SpendCapsRow] = {}
        self.keys: dict[str, KeyRow] = {row.key_id: row for row in keys}

    def take(self, line: Line | Record) -> None:
        """Lines in the order of their journal."""
        if isinstance(line, Line):
            self._take_line(line)
        else:
            self._take_record(line)

    def _take_line(self, line: Line) -> None:
        place = (line.customer_id, line.unit)
        before = self.accounts.get(place) or AccountRow(
            customer_id=line.customer_id, unit=line.unit, partition=line.partition
        )
        entry = entry_row(line, before.hash)
        self.entries.append(entry)
        self.postings += posting_rows(entry, line.moves)
        self.counts += count_rows(entry)
        moved, by_block = _sums(line)
        self._check(line, before, entry, moved)
        for block, moved_of_it in by_block.items():
            self._move_block(line, block, entry, moved_of_it)
        after = AccountRow(
            customer_id=line.customer_id,
            unit=line.unit,
            partition=line.partition,
            seq=line.seq,
            entry_id=entry.entry_id,
            hash=entry.hash,
            low=before.low,
            **msgspec.structs.asdict(line.after),
        )
        block_id = "" if line.block is None else self.blocks[*place, line.block.number].block_id
        low = self.signals.take(line, entry, before, after, block_id)
        self.accounts[place] = after if low == before.low else replace(after, low=low)

    def _check(self, line: Line, before: AccountRow, entry: EntryRow, moved: Sums) -> None:
        if not line.after.balanced:
            self._note(entry, "unbalanced", f"granted is not the sum of its parts: {line.after}.")
        # What a refund gives back may be in a new block, which has a line of its own.
        paid = moved[Moved.SPENT] + moved[Moved.OWED]
        if line.kind is not Kind.REFUND and line.charged != paid:
            self._note(entry, "unexplained", f"charged should be {paid} by the moves; it is {line.charged}.")
        if line.seq != before.seq + 1:
            what = "seq_gap" if line.seq > before.seq else "seq_repeat"
            self._note(entry, what, f"The entry before it has number {before.seq}, this one {line.seq}.")
            return
        for name, amount in _explained(before, moved):
            if amount != (found := getattr(line.after, name)):
                self._note(entry, "unexplained", f"{name} should be {amount} by the moves; it is {found}.")

    def _move_block(self, line: Line, number: int, entry: EntryRow, moved: Sums) -> None:
        key = (line.customer_id, line.unit, number)
        row = self.blocks.get(key)
        if row is None:
            row = BlockRow(customer_id=line.customer_id, unit=line.unit, number=number, partition=line.partition)
            if line.grant is None:
                self._note(entry, "block_unknown", f"Block {number} was never granted.")
        changes: dict[str, Any] = {
            "granted": row.granted + moved[Moved.GRANTED],
            "spent": row.spent + moved[Moved.SPENT] + moved[Moved.REPAID] - moved[Moved.RESTORED],
            "expired": row.expired + moved[Moved.EXPIRED],
            "voided": row.voided + moved[Moved.VOIDED],
        }
        image = line.block if line.block is not None and line.block.number == number else None
        if image is not None:
            changes |= {
                "state": str(image.state),
                "created_at_ms": image.created_at_ms,
                "starts_at_ms": image.starts_at_ms,
                "expires_at_ms": image.expires_at_ms,
            }
            if line.grant is not None:
                changes |= {
                    "block_id": line.grant.block_id,
                    "terms": _encode(line.grant).decode(),
                    "dedup_key": line.grant.dedup_key,
                    "external_payment_id": line.grant.external_payment_id,
                }
        row = self.blocks[key] = replace(row, **changes)
        if image is not None and (row.granted, row.remaining) != (image.granted, image.available + image.held):
            self._note(
                entry,
                "block_unexplained",
                f"Block {number} should have {row.remaining} of {row.granted} left by the moves; "
                f"it has {image.available + image.held} of {image.granted}.",
            )

    def _take_record(self, record: Record) -> None:
        at = entry_id(record.partition, record.position)
        data = _encode(record.data).decode()
        if record.what == "customer":
            row = CustomerRow(
                customer_id=record.customer_id,
                partition=record.partition,
                entry_id=at,
                data=data,
                **{name: str(record.data.get(name) or "") for name in _SOUGHT},
            )
            self.signals.take_customer(row, self.customers.get(record.customer_id), record.position.ms)
            self.customers[record.customer_id] = row
            return
        if record.what == "pool_cap":
            self._take_pool_cap(record, at)
            return
        if record.what == "spend_caps":
            unit = str(record.data["unit"])
            caps = self.spend_caps[record.customer_id, unit] = SpendCapsRow(
                customer_id=record.customer_id,
                unit=unit,
                partition=record.partition,
                entry_id=at,
                caps=str(record.data["caps"]),
            )
            self.signals.take_caps(caps)
            return
        key_id = key_of(record)
        known = self.keys.get(key_id)
        revoked = record.what == "key_revoked"
        if revoked and known is not None:
            self.keys[key_id] = replace(known, revoked=1, entry_id=at)
            return
        if revoked:
            self.anomalies[at, "key_unknown"] = AnomalyRow(
                entry_id=at,
                what="key_unknown",
                customer_id=record.customer_id,
                unit="",
                detail=f"Key {key_id} was revoked, and never made.",
            )
        self.keys[key_id] = KeyRow(
            key_id=key_id,
            customer_id=record.customer_id,
            partition=record.partition,
            entry_id=at,
            revoked=int(revoked),
            data=data,
        )

    def _take_pool_cap(self, record: Record, at: str) -> None:
        unit, cap = str(record.data["unit"]), int(str(record.data["cap"]))
        self.pool_caps[record.customer_id, unit] = PoolCapRow(
            customer_id=record.customer_id,
            unit=unit,
            partition=record.partition,
            entry_id=at,
            cap=None if cap < 0 else cap,
        )

    def _note(self, entry: EntryRow, what: str, detail: str) -> None:
        self.anomalies.setdefault(
            (entry.entry_id, what),
            AnomalyRow(
                entry_id=entry.entry_id, what=what, customer_id=entry.customer_id, unit=entry.unit, detail=detail
            ),
        )


def touched_blocks(line: Line) -> list[int]:
    """The numbers of the blocks that a line is about or moves."""
    numbers = dict.fromkeys(move.block for move in line.moves if move.block)
    if line.block is not None:
        numbers[line.block.number] = None
    return list(numbers)


def key_of(record: Record) -> str:
    """The key that a record is about; empty if it is about none."""
    return str(record.data.get("key_id", "")) if record.what in {"key", "key_revoked"} else ""


def _sums(line: Line) -> tuple[Sums, Mapping[int, Sums]]:
    """What the line moves in all, and of each block that it touches."""
    moved = [0] * _KINDS
    by_block = {number: [0] * _KINDS for number in touched_blocks(line)}
    for move in line.moves:
        moved[move.what] += move.amount
        if move.block:
            by_block[move.block][move.what] += move.amount
    return moved, by_block


def _explained(before: AccountRow, moved: Sums) -> tuple[tuple[str, int], ...]:
    """What the moves make of those totals that nothing else changes."""
    return (
        ("granted", before.granted + moved[Moved.GRANTED]),
        ("spent", before.spent + moved[Moved.SPENT] + moved[Moved.REPAID] - moved[Moved.RESTORED]),
        ("expired", before.expired + moved[Moved.EXPIRED]),
        ("voided", before.voided + moved[Moved.VOIDED]),
        ("owed", before.owed + moved[Moved.OWED] - moved[Moved.REPAID]),
    )


def totals_of(row: AccountRow) -> Totals:
    """An account's totals."""
    return Totals(**{name: getattr(row, name) for name in Totals.__struct_fields__})
