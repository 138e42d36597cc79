"""What the journal says: one line for each change of what a customer owns or owes.

A line carries the account's totals after it, and the moves that led there. Lines of one account are counted, so a
missing one shows.
"""

from enum import IntEnum, StrEnum

import msgspec

from sidecar.domain.blocks import Grant
from sidecar.domain.counters import Counted
from sidecar.domain.errors import SidecarError
from sidecar.domain.notes import NO_NOTE, Note


class Kind(StrEnum):
    """What happened. Closed set: it is the `type` of a ledger entry and a metric label."""

    GRANT = "grant"
    ACTIVATION = "activation"
    EXPIRY = "expiry"
    VOID = "void"
    EXTENSION = "extension"
    COMMIT = "commit"
    LATE_COMMIT = "late_commit"
    STEP_COMMIT = "step_commit"
    RELEASE = "release"
    HOLD_EXPIRY = "hold_expiry"
    CHARGEBACK = "chargeback"
    """What was spent of a top-up whose money went back; its reservation is the block's id."""
    ADJUSTMENT = "adjustment"
    REFUND = "refund"
    """What a commit charged goes back, or a part of it; `detail` has the commit's entry as `reference`."""
    PURCHASE = "purchase"
    """What a customer gave for a block out of its own credit; `detail` has the id of the `purchase`."""
    PERIOD_CLOSE = "period_close"
    """What of a period's credit was not carried expired; `detail` has as `period` its end and what became of it."""
    TRANSFER_OUT = "transfer_out"
    TRANSFER_IN = "transfer_in"
    """It went to another customer, or came from one; its reservation is the transfer's id."""


class Moved(IntEnum):
    """Between which of the customer's and our accounts an amount moved."""

    GRANTED = 1
    SPENT = 2
    EXPIRED = 3
    VOIDED = 4
    OWED = 5
    REPAID = 6
    RESTORED = 7


class Move(msgspec.Struct, frozen=True):
    """`block` is a block's number; 0 for what no block covered."""

    what: Moved
    block: int
    amount: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """An account after a line: granted = scheduled + available + held + spent + expired + voided."""

    granted: int = 0
    scheduled: int = 0
    available: int = 0
    held: int = 0
    spent: int = 0
    expired: int = 0
    voided: int = 0
    owed: int = 0

    @property
    def balanced(self) -> bool:
        parts = self.scheduled + self.available + self.held + self.spent + self.expired + self.voided
        return self.granted == parts


class Position(msgspec.Struct, frozen=True, order=True):
    """A place in one partition's journal: the id that the stream gave to a line."""

    ms: int = 0
    number: int = 0

    def __str__(self) -> str:
        return f"{self.ms}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        ms, _, number = text.partition("-")
        return cls(int(ms), int(number))


class Overtaken(SidecarError):
    """Somebody else has archived of this partition meanwhile, up to `position`; nothing was written."""

    def __init__(self, position: Position) -> None:
        super().__init__(f"The archive is at {position} already; go on from there.")
        self.position = position


class HoldStory(msgspec.Struct, frozen=True, kw_only=True):
    """The hold that a line settles, as it was before."""

    reservation_id: str
    customer_id: str
    """Who asked: the payer or a member of its pool."""
    feature: str
    rule: str
    rules_version: str = ""
    """Of the rule files by which it was priced; empty if nobody said."""
    held: int
    """In the line's unit, what was still held."""
    reserved_at_ms: int
    charged_before: int
    """By former step commits, in the first unit of the hold."""
    note: Note = NO_NOTE
    """What its caller said of it."""


class BlockImage(msgspec.Struct, frozen=True, kw_only=True):
    """A block after a line that is about it."""

    number: int
    state: str
    priority: int
    paid: bool
    granted: int
    available: int
    held: int
    lapsed: int
    created_at_ms: int
    starts_at_ms: int | None
    expires_at_ms: int | None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line about an account."""

    partition: int
    position: Position
    kind: Kind
    customer_id: str
    """The payer: whose account it is."""
    unit: str
    seq: int
    after: Totals
    moves: tuple[Move, ...] = ()
    block: BlockImage | None = None
    grant: Grant | None = None
    """Of a grant, its terms."""
    hold: HoldStory | None = None
    charged: int = 0
    uncollected: int = 0
    """The part of the cost that the policy let go."""
    counted: tuple[Counted, ...] = ()
    """Of a commit, how it moved the payer's counters."""
    usage: str = ""
    source: str = ""
    """Of a commit, where its cost comes from."""
    reason: str = ""
    detail: dict[str, str] = {}
    """Who did it, and why, where a person or a program asked for it."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One line about a customer, a key or a pool's member: its whole record, as it is from now on.

    `what`: customer, key, key_revoked, pool_cap, spend_caps.
    """

    partition: int
    position: Position
    what: str
    customer_id: str
    data: dict[str, object]


def entry_id(partition: int, position: Position) -> str:
    """The public id of a line: unique, and it sorts by time."""
    return f"ent_{position.ms:012x}{position.number:06x}{partition:02x}"
