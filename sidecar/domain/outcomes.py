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
    """The amount is held. `replayed`: it already was, by the same reservation; nothing changed."""

    held: int
    available: int
    replayed: bool = False


class Refused(msgspec.Struct, frozen=True):
    """Nothing is held. Precedence: unidentified, suspended, holds in flight, insufficient."""

    code: RefusalCode
    required: int = 0
    available: int = 0
    held: int = 0


class Ended(msgspec.Struct, frozen=True):
    """Nothing is held: the reservation has expired, or its release came before it."""


class Settled(msgspec.Struct, frozen=True):
    """The reservation ended now.

    `charged` is what the customer was charged, `owed` the part of it that became debt, `available` what is left.
    `late`: it had expired before it was committed.
    """

    charged: int
    available: int
    owed: int = 0
    late: bool = False


class UnknownReservation(msgspec.Struct, frozen=True):
    """No such reservation: it never was, or it has ended. Nothing changed.

    To who repeats a settlement that was not acknowledged, it says that the first one took effect.
    """


class OpenHold(msgspec.Struct, frozen=True, kw_only=True):
    """One reservation that has not ended."""

    reservation_id: str
    customer_id: str
    unit: str
    held: int
    rule: str
    created_at_ms: int
    expires_at_ms: int
