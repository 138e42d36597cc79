"""The tables, and the rows that we write to them. How they came to be stands in `migrations`.

`entries`, `postings` and `counts` are the ledger: written once, and the database itself refuses to change them. The
others follow it in the same transaction, so that nobody has to add up the past.
A row's fields are its table's columns, in their order.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text
from sqlalchemy.types import TypeEngine

from sidecar.domain.audit import Audited
from sidecar.domain.auto_topups import TopupRequest
from sidecar.domain.blocks import BlockState

R = TypeVar("R", bound=msgspec.Struct)

metadata = MetaData()

Name = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is compared and sorted: by its bytes, in every database."""

_TYPES: Final[Mapping[object, TypeEngine[Any]]] = MappingProxyType(
    {str: Name, str | None: Name, int: BigInteger(), int | None: BigInteger(), bytes: LargeBinary()}
)


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line about an account. Texts are never null: what does not apply is empty, an amount 0."""

    entry_id: str
    partition: int
    customer_id: str
    unit: str
    seq: int
    type: str
    recorded_at_ms: int
    event_at_ms: int
    delta: int
    """What the moves changed of scheduled + available + held."""
    owed_delta: int
    after_granted: int
    after_scheduled: int
    after_available: int
    after_held: int
    after_spent: int
    after_expired: int
    after_voided: int
    after_owed: int
    moves: str
    """JSON: [[what, block, amount], …]."""
    block: str
    """JSON of the `BlockImage`, when the line is about a block."""
    terms: str
    """JSON of the `Grant`, of a grant."""
    reservation_id: str
    asker_id: str
    """Who asked for the hold: the customer or a member of its pool."""
    feature: str
    rule: str
    reserved_at_ms: int
    charged_before: int
    held: int
    charged: int
    owed: int
    """The part of `charged` that became debt."""
    uncollected: int
    usage: str
    model: str
    meters: str
    """JSON: what of `usage` is a number, by meter."""
    source: str
    reason: str
    detail: str
    """JSON: who did it, and why."""
    prev_hash: bytes
    hash: bytes
    rules_version: str
    """Of the rule files by which a request was priced."""
    counted: str
    """JSON of the `Counted`s, of a commit that moved counters."""


class PostingRow(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of an entry. The legs of an entry sum to zero."""

    entry_id: str
    leg: int
    account: str
    customer_id: str
    unit: str
    block: int
    """Of a leg on `balance`, the number of the block; else 0."""
    amount: int


class CountRow(msgspec.Struct, frozen=True, kw_only=True):
    """So many units that an entry has counted. Those of a counter add up to its position."""

    entry_id: str
    counter: str
    customer_id: str
    units: int


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """An account after its last entry."""

    customer_id: str
    unit: str
    partition: int
    seq: int = 0
    entry_id: str = ""
    hash: bytes = bytes(32)
    granted: int = 0
    scheduled: int = 0
    available: int = 0
    held: int = 0
    spent: int = 0
    expired: int = 0
    voided: int = 0
    owed: int = 0
    low: str = ""
    """Which alarms have gone off and not been risen above since: amounts with commas between."""

    @property
    def left(self) -> int:
        """What can be spent, and what is held."""
        return self.available + self.held


class BlockRow(msgspec.Struct, frozen=True, kw_only=True):
    """A block as the moves left it; its state and dates as the last line about it said."""

    customer_id: str
    unit: str
    number: int
    partition: int
    block_id: str = ""
    state: str = BlockState.ACTIVE.value
    granted: int = 0
    spent: int = 0
    expired: int = 0
    voided: int = 0
    created_at_ms: int = 0
    starts_at_ms: int | None = None
    expires_at_ms: int | None = None
    terms: str = ""
    dedup_key: str | None = None
    external_payment_id: str | None = None

    @property
    def remaining(self) -> int:
        return self.granted - self.spent - self.expired - self.voided


class CustomerRow(msgspec.Struct, frozen=True, kw_only=True):
    customer_id: str
    partition: int
    entry_id: str
    data: str
    external_id: str
    display_name: str
    status: str
    parent_id: str
    """Who pays for it; empty for who pays for itself."""


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str
    customer_id: str
    partition: int
    entry_id: str
    revoked: int
    data: str


class PoolCapRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a member may hold and spend of its pool in one unit; None: no limit."""

    customer_id: str
    unit: str
    partition: int
    entry_id: str
    cap: int | None


class DocumentRow(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator wrote. `change` is its place in the order of all changes."""

    kind: str
    key: str
    body: str
    version: int
    updated_at_ms: int
    removed: int
    change: int


class SpendCapsRow(msgspec.Struct, frozen=True, kw_only=True):
    """The spend caps that a customer has in one unit, as the store has them; empty: none any more."""

    customer_id: str
    unit: str
    partition: int
    entry_id: str
    caps: str


class WatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told of a balance, or done about it; see `domain.watches`."""

    customer_id: str
    unit: str
    kind: str
    body: str
    version: int
    updated_at_ms: int


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """What others may want to hear of. `sequence` is its place among all."""

    sequence: int = 0
    event_id: str
    type: str
    customer_id: str
    unit: str
    occurred_at_ms: int
    data: str


class AnomalyRow(msgspec.Struct, frozen=True, kw_only=True):
    entry_id: str
    what: str
    customer_id: str
    unit: str
    detail: str


class ScopeRow(msgspec.Struct, frozen=True, kw_only=True):
    """Whose ledger this is, ``<tenant>/<environment>``: one row, with the id 1."""

    id: int
    name: str


class PositionRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far a partition's journal is archived."""

    partition: int
    ms: int
    number: int


def _table(name: str, row: type[msgspec.Struct], *keys: str) -> Table:
    columns = [
        Column(
            field.name,
            _TYPES[field.type],
            primary_key=field.name in keys,
            nullable=field.type in {int | None, str | None},
            autoincrement=False,
        )
        for field in msgspec.structs.fields(row)
    ]
    return Table(name, metadata, *columns, sqlite_with_rowid=False)


entries = _table("entries", EntryRow, "entry_id")
postings = _table("postings", PostingRow, "entry_id", "leg")
counts = _table("counts", CountRow, "entry_id", "counter")
accounts = _table("accounts", AccountRow, "customer_id", "unit")
blocks = _table("blocks", BlockRow, "customer_id", "unit", "number")
customers = _table("customers", CustomerRow, "customer_id")
keys = _table("keys", KeyRow, "key_id")
pool_caps = _table("pool_caps", PoolCapRow, "customer_id", "unit")
audit = _table("audit", Audited, "audit_id")
documents = _table("documents", DocumentRow, "kind", "key")
spend_caps = _table("spend_caps", SpendCapsRow, "customer_id", "unit")
watches = _table("watches", WatchRow, "customer_id", "unit", "kind")
events = _table("events", EventRow, "sequence")
topup_requests = _table("topup_requests", TopupRequest, "request_id")
anomalies = _table("anomalies", AnomalyRow, "entry_id", "what")
scope = _table("scope", ScopeRow, "id")
positions = _table("positions", PositionRow, "partition")

Index("entries_of_account", entries.c.customer_id, entries.c.unit, entries.c.entry_id)
Index("entries_of_customer", entries.c.customer_id, entries.c.event_at_ms, entries.c.entry_id)
Index("entries_by_time", entries.c.event_at_ms, entries.c.entry_id)
Index(
    "entries_of_reservation",
    entries.c.reservation_id,
    postgresql_where=entries.c.reservation_id != "",
    sqlite_where=entries.c.reservation_id != "",
)
Index("counts_of_customer", counts.c.customer_id, counts.c.entry_id)
Index("accounts_of_partition", accounts.c.partition, accounts.c.customer_id)
Index("customers_by_external_id", customers.c.external_id)
Index("customers_of_partition", customers.c.partition, customers.c.customer_id)
Index("audit_of_customer", audit.c.customer_id, audit.c.audit_id)
Index("documents_by_change", documents.c.change)
Index("events_by_id", events.c.event_id, unique=True)
Index("events_of_customer", events.c.customer_id, events.c.sequence)
Index("events_by_time", events.c.occurred_at_ms)
Index(
    "topup_requests_outstanding",
    topup_requests.c.customer_id,
    topup_requests.c.unit,
    unique=True,
    postgresql_where=topup_requests.c.state == "outstanding",
    sqlite_where=topup_requests.c.state == "outstanding",
)
Index("topup_requests_of_balance", topup_requests.c.customer_id, topup_requests.c.unit, topup_requests.c.made_at_ms)
Index("keys_of_customer", keys.c.customer_id)


def row_of(kind: type[R], values: Sequence[Any]) -> R:
    """The row that a table's columns are, in their order."""
    return kind(**dict(zip(kind.__struct_fields__, values, strict=True)))
