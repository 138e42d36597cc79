"""What the ledger answers when it works. A refusal is a value; an error is an exception.

Amounts are base units of the reservation's unit.
"""

from enum import StrEnum

import msgspec


class RefusalCode(StrEnum):
    """Why a request may not pass. Closed set: it is a metric label and an HTTP `code`."""

    UNIDENTIFIED = "unidentified"
    CUSTOMER_SUSPENDED = "customer_suspended"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    HOLDS_IN_FLIGHT = "holds_in_flight"
    UNMATCHED_ROUTE = "unmatched_route"
    UNPRICED = "unpriced"
    UNREADABLE_REQUEST = "unreadable_request"
    STORE_UNAVAILABLE = "store_unavailable"


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """One customer's balance in one unit: granted = available + held + spent; `owed` is debt beside it."""

    unit: str
    granted: int
    available: int
    held: int
    spent: int
    owed: int


class Reserved(msgspec.Struct, frozen=True):
    """The amount is held. `replayed`: it already was, by the same reservation id; nothing changed."""

    held: int
    available: int
    replayed: bool = False


class Refused(msgspec.Struct, frozen=True):
    """Nothing is held. Precedence: unidentified, suspended, holds in flight, insufficient."""

    code: RefusalCode
    required: int = 0
    available: int = 0
    held: int = 0


class Settlement(StrEnum):
    """How a reservation ended."""

    COMMITTED = "committed"
    RELEASED = "released"
    EXPIRED = "expired"


class Settled(msgspec.Struct, frozen=True):
    """The reservation has ended as `state`.

    `charged` is what the customer was charged, `owed` the part of it that became debt, `available` what is left
    (0 and unknown for a replay of long ago). `replayed`: it had ended before, and nothing changed now.
    `late`: it had expired before it was committed.
    """

    state: Settlement
    charged: int
    available: int
    owed: int = 0
    replayed: bool = False
    late: bool = False


class UnknownReservation(msgspec.Struct, frozen=True):
    """No such reservation: it never was, or it ended so long ago that its record is gone."""


class OpenHold(msgspec.Struct, frozen=True, kw_only=True):
    """One reservation that has not ended."""

    reservation_id: str
    customer_id: str
    unit: str
    held: int
    rule: str
    created_at_ms: int
    expires_at_ms: int
