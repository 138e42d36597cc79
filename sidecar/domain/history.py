"""What the archive answers: entries of the ledger, usage, past balances, and what it knows of each customer.

Records only. Amounts are base units, times epoch milliseconds.
"""

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from sidecar.domain.blocks import Block, Grant
from sidecar.domain.counters import Counted
from sidecar.domain.journal import BlockImage, Kind, Moved, Position, Totals

T = TypeVar("T")


class LegKind(StrEnum):
    """The accounts of the double entry. `balance` and `owed` are the customer's, the others ours."""

    BALANCE = "balance"
    OWED = "owed"
    ISSUED = "issued"
    CONSUMED = "consumed"
    EXPIRED = "expired"
    VOIDED = "voided"
    SENT = "sent"
    RECEIVED = "received"
    """Both together, over all customers: what is on its way from one to another."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of a list; `next_cursor` asks for what follows, None when nothing does."""

    items: tuple[T, ...]
    next_cursor: str | None = None


class EntryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries. What is None, or empty, does not matter."""

    customer_id: str | None = None
    """Whose account it is: the payer."""
    asker_id: str | None = None
    """Who asked for the hold: the payer or a member of its pool."""
    unit: str | None = None
    types: tuple[Kind, ...] = ()
    entry_id: str | None = None
    reservation_id: str | None = None
    feature: str | None = None
    rule: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    """Event time: `from_ms` is within, `to_ms` is not."""


class CustomerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which customers. What is None, or empty, does not matter."""

    status: str | None = None
    parent_id: str | None = None
    external_id_prefix: str = ""
    words: str = ""
    """Somewhere in the external id or the name, whatever the case of ASCII letters."""
    metadata: tuple[str, str] | None = None
    """A name and its value."""


class EntryMove(msgspec.Struct, frozen=True):
    """`block_id` is empty for what no block covered."""

    what: Moved
    block_id: str
    amount: int


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the ledger, as it is kept for ever."""

    entry_id: str
    customer_id: str
    unit: str
    seq: int
    type: Kind
    event_at_ms: int
    """When it happened: of an expiry the block's end, which a later request or the sweep brought to light."""
    recorded_at_ms: int
    delta: int
    """What it changed of the balance: of scheduled + available + held."""
    owed_delta: int
    after: Totals
    """The account after it, its open holds included."""
    moves: tuple[EntryMove, ...] = ()
    block_id: str = ""
    """The block that it is about."""
    block: BlockImage | None = None
    grant: Grant | None = None
    reservation_id: str = ""
    asker_id: str = ""
    feature: str = ""
    rule: str = ""
    rules_version: str = ""
    reserved_at_ms: int = 0
    held: int = 0
    charged: int = 0
    owed: int = 0
    """The part of `charged` that became debt."""
    uncollected: int = 0
    usage: str = ""
    model: str = ""
    source: str = ""
    reason: str = ""
    detail: dict[str, str] = {}
    prev_hash: str = ""
    hash: str = ""
    counted: tuple[Counted, ...] = ()
    """How it moved the payer's counters."""


class UsageBy(StrEnum):
    """What usage can be grouped by, beside the dimensions of prices. Hours and days are of UTC; `customer` asked."""

    FEATURE = "feature"
    RULE = "rule"
    CUSTOMER = "customer"
    MODEL = "model"
    SOURCE = "source"
    HOUR = "hour"
    DAY = "day"


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in one unit by one group."""

    group: dict[str, str | int]
    """What was grouped by; `hour` and `day` as their first millisecond."""
    unit: str
    entries: int
    """How many commits; each step of a reservation counts."""
    charged: int
    estimated: int
    """The part of `charged` that the upstream did not report."""
    owed: int
    uncollected: int
    late: int
    """How many commits came after their hold had expired."""
    held: int
    """What had been set aside for the requests that ended: the estimates that `charged` can be compared with."""
    above_hold: int
    """The part of `charged` by which requests cost more than was held."""
    refunded: int = 0
    """What was given back in this time, of charges then or before."""
    meters: dict[str, int | float] = {}


class UnitTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All accounts of one unit."""

    unit: str
    accounts: int
    totals: Totals


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything there is."""

    customers: dict[str, int]
    """By status."""
    entries: int
    units: tuple[UnitTotals, ...]


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """Something in the journal that cannot be right. The line is archived as it came."""

    entry_id: str
    what: str
    """seq_gap, seq_repeat, unbalanced, unexplained, block_unknown, block_unexplained, key_unknown."""
    customer_id: str
    unit: str
    detail: str


class Appended(msgspec.Struct, frozen=True):
    """What one call archived, and where the partition's archive stands after it."""

    position: Position
    entries: int
    anomalies: tuple[Anomaly, ...] = ()
    events: int = 0


class BrokenLink(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that is not as it was written, or that is missing."""

    customer_id: str
    unit: str
    entry_id: str
    seq: int
    what: str
    """hash: changed since. link: does not follow the one before. seq: one is missing or doubled. postings: they are
    not those of its moves. counts: they are not what it counted. end: it is not the last one that was archived."""
    detail: str


class KeyState(msgspec.Struct, frozen=True, kw_only=True):
    key_id: str
    revoked: bool
    data: dict[str, object]


class BusinessKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was good for one grant, and what it granted."""

    name: str
    """dedup_key, external_payment_id, purchase or transfer"""
    key: str
    unit: str
    amount: int
    grant: Grant


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """An account after its last entry. Holds are not archived: what they take of a block counts as available."""

    unit: str
    seq: int
    entry_id: str
    hash: str
    totals: Totals
    last_number: int
    """How many blocks it ever had."""
    blocks: tuple[Block, ...] = ()
    """Live ones, in the order in which they were granted."""


class BlockSums(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive knows of one block, live or not."""

    unit: str
    granted: int
    spent: int
    remaining: int
    """What holds keep included."""
    taken_back: int
    """By chargebacks, what was not voided."""
    grant: Grant
    created_at_ms: int = 0
    expires_at_ms: int | None = None


class CustomerState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the archive knows of one customer, to compare with the store or to make it again."""

    customer_id: str
    partition: int
    data: dict[str, object] | None
    """The customer's record as it was written last; None when it never was."""
    keys: tuple[KeyState, ...] = ()
    pool_caps: dict[str, int | None] = {}
    """As a member of a pool: what it may hold and spend of it in a unit; None: no limit."""
    spend_caps: dict[str, str] = {}
    """By unit, as the store has them."""
    accounts: tuple[AccountState, ...] = ()
    business_keys: tuple[BusinessKey, ...] = ()
