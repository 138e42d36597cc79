"""What the ledger answers when it works. A refusal is a value; an error is an exception.

Amounts are base units. What a reservation has in several units is answered part by part, in the order in which they
were asked for: the first part is the answer itself, the further ones are its `others`.
"""

from enum import StrEnum

import msgspec

from sidecar.domain.blocks import Block, Slice
from sidecar.domain.counters import Stand
from sidecar.domain.journal import Totals
from sidecar.domain.limits import Limit
from sidecar.domain.spend_caps import Capped


class RefusalCode(StrEnum):
    """Why a request may not pass. Closed set: it is a metric label and an HTTP `code`."""

    UNIDENTIFIED = "unidentified"
    KEY_EXPIRED = "key_expired"
    CUSTOMER_SUSPENDED = "customer_suspended"
    FEATURE_NOT_ALLOWED = "feature_not_allowed"
    RATE_LIMITED = "rate_limited"
    CONCURRENCY_LIMITED = "concurrency_limited"
    POOL_CAP_REACHED = "pool_cap_reached"
    SPEND_CAP_REACHED = "spend_cap_reached"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    HOLDS_IN_FLIGHT = "holds_in_flight"
    UNMATCHED_ROUTE = "unmatched_route"
    UNPRICED = "unpriced"
    UNREADABLE_REQUEST = "unreadable_request"
    STORE_UNAVAILABLE = "store_unavailable"
    REQUEST_IN_PROGRESS = "request_in_progress"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IDEMPOTENCY_KEY_REQUIRED = "idempotency_key_required"
    IDEMPOTENCY_KEY_INVALID = "idempotency_key_invalid"


class Overrun(StrEnum):
    """What becomes of a cost above its hold, once what is available is spent."""

    OWE = "owe"
    """The rest is debt: the next credit repays it, and there is no further hold until then."""
    CAP = "cap"
    """The rest is let go, and written down as uncollected."""
    REJECT = "reject"
    """The commit is refused and the hold stays; the caller may commit less, or release."""


class HoldState(StrEnum):
    """How a hold stands. All but `open` are ends."""

    OPEN = "open"
    EXPIRED = "expired"
    COMMITTED = "committed"
    COMMITTED_LATE = "committed_late"
    RELEASED = "released"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's balance in one unit: its totals, and its live blocks in the order in which they burn."""

    unit: str
    seq: int
    """How many journal lines it has."""
    totals: Totals
    blocks: tuple[Block, ...] = ()


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's balance in one unit.

    granted = scheduled + available + held + spent + expired + voided; `owed` is debt beside it.
    """

    unit: str
    granted: int
    available: int
    held: int
    spent: int
    owed: int
    scheduled: int = 0
    expired: int = 0
    voided: int = 0


class Reserved(msgspec.Struct, frozen=True):
    """The amount is held. `replayed`: it already was, by the same reservation; nothing changed.

    `available` is what the account has left; `drawn` are the slices that the hold has now, in burn order.
    """

    held: int
    available: int
    replayed: bool = False
    drawn: tuple[Slice, ...] = ()
    others: tuple["Reserved", ...] = ()
    stands: tuple[Stand, ...] = ()
    """Where the counters that it claims of stand then, as in what follows."""
    limits: tuple[tuple[Limit, int], ...] = ()
    """What is taken of the limits that it takes of then, at last of the rate of its key: slots, or ticks."""
    limited_key: bool = False
    """Its proxy key may not do all that its customer may."""


class Limited(msgspec.Struct, frozen=True):
    """A limit that lets nobody through: how much of it is `taken`, slots or ticks, and when it lets this through.

    `wait_ms` is exact; 0: nobody knows.
    """

    limit: Limit
    taken: int
    wait_ms: int


class Refused(msgspec.Struct, frozen=True):
    """Nothing is held. Precedence: that of `RefusalCode`, but in flight before insufficient.

    `available` and `held` are what requests of this feature could draw on, and what holds keep of it, in `unit`;
    for a cap, what it leaves and what holds take of it.
    """

    code: RefusalCode
    required: int = 0
    available: int = 0
    held: int = 0
    unit: str = ""
    limited: Limited | None = None
    """By which limit, if it was one; amounts are then 0."""
    capped: Capped | None = None
    """By which spend cap, if it was one."""


class Waiting(msgspec.Struct, frozen=True):
    """Nothing is held yet: the request stands in the queue for holds to come back. `refused` is why."""

    refused: Refused


class CountersMoved(msgspec.Struct, frozen=True):
    """Nothing happened: the amount was worked out for other positions of its counters than these.

    `refused`: it was right, or more than that, and is refused; it may be less where they stand now.
    """

    stands: tuple[Stand, ...]
    refused: Refused | None = None


class Ended(msgspec.Struct, frozen=True):
    """Nothing is held: the reservation has ended, or its release came before it."""


class Settled(msgspec.Struct, frozen=True):
    """The reservation ended now, or a step of it was charged.

    `charged` is what the customer was charged, `owed` the part of it that became debt, `uncollected` the part of the
    cost that was let go, `available` what is left. `late`: it had expired before it was committed. `replayed`: it
    was charged before; nothing changed.
    """

    charged: int
    available: int
    owed: int = 0
    late: bool = False
    uncollected: int = 0
    replayed: bool = False
    others: tuple["Settled", ...] = ()
    stands: tuple[Stand, ...] = ()


class UnknownReservation(msgspec.Struct, frozen=True):
    """No such reservation: it never was, or it has ended and is not remembered. Nothing changed.

    To who repeats a settlement that was not acknowledged, it says that the first one took effect.
    """


class Resolved(msgspec.Struct, frozen=True):
    """The reservation has ended in another way than was asked for. Nothing changed."""

    state: HoldState


class Rejected(msgspec.Struct, frozen=True):
    """The charge is above the hold and the policy is to reject it. The hold stays. Nothing changed."""

    held: int
    unit: str = ""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """The account after a grant. `replayed`: by the same idempotency key, answered as it was then.

    `duplicate`: its business key was used before; the block is that one. `withheld` is what the cap cut off; when it
    cut everything there is no block.
    """

    block_id: str | None
    amount: int
    totals: Totals
    entry: str = ""
    """The journal's position after it, to wait for; empty when nothing was written."""
    withheld: int = 0
    replayed: bool = False
    duplicate: bool = False


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """The account after a block was voided or its expiry moved; `amount` is what was voided."""

    block_id: str
    amount: int
    totals: Totals
    entry: str = ""
    replayed: bool = False


class TakenBack(msgspec.Struct, frozen=True, kw_only=True):
    """The account after a top-up was taken back, or a part of it.

    `voided` could still be spent. `charged` was spent, and is taken out of what else there is; `owed` is the part of
    that which became debt. `uncollected` was spent, and is let go.
    """

    voided: int
    charged: int
    owed: int
    uncollected: int
    totals: Totals
    entry: str = ""
    replayed: bool = False


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The account after an amount was taken out of it. `slices`: out of which blocks; `owed`: what none covered."""

    amount: int
    owed: int
    slices: tuple[Slice, ...]
    totals: Totals
    entry: str = ""
    replayed: bool = False


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """An amount is on its way to another customer; `taken` is what that did to who gave it."""

    transfer_id: str
    taken: Taken


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """A block was bought out of other credit. `duplicate`: it was bought before, by the same id."""

    block_id: str
    entry: str = ""
    replayed: bool = False
    duplicate: bool = False


class Short(msgspec.Struct, frozen=True):
    """There is less available than should be taken; nothing was."""

    required: int
    available: int


class Refunded(msgspec.Struct, frozen=True, kw_only=True):
    """The account after a charge was reversed, or a part of it.

    `restored` is what went back into the blocks that had paid, `granted` what is in a new block `block_id` since they
    are over. `total` is what was ever reversed of this charge.
    """

    amount: int
    restored: int
    granted: int
    block_id: str | None
    total: int
    totals: Totals
    entry: str = ""
    replayed: bool = False


class Exceeded(msgspec.Struct, frozen=True):
    """So much of the charge was reversed before, so that the rest is less than what is asked for; nothing was."""

    refunded: int
    most: int


class OpenHold(msgspec.Struct, frozen=True, kw_only=True):
    """One reservation that has not ended."""

    reservation_id: str
    customer_id: str
    """Who asked for it."""
    payer_id: str
    unit: str
    held: int
    charged: int
    """By step commits so far."""
    feature: str
    rule: str
    rules_version: str = ""
    created_at_ms: int
    expires_at_ms: int
    drawn: tuple[Slice, ...] = ()
    others: tuple["OpenHold", ...] = ()
    """What it holds in further units."""
    note: str = ""
    """The word of what its caller said of it; see `notes`."""
