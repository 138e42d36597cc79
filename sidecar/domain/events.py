"""Events: what others may want to hear of, in the order in which it was archived. The ledger has every change.

Records and names only. What is kept of an event has our id of its customer alone, so that who is forgotten stays so.
"""

from enum import StrEnum

import msgspec


class EventType(StrEnum):
    """What happened. Closed set; single charges are not in it, reports have those."""

    CREDITS_GRANTED = "credits.granted"
    CREDITS_ACTIVATED = "credits.activated"
    """A block that was granted before can be spent now."""
    CREDITS_EXPIRED = "credits.expired"
    CREDITS_VOIDED = "credits.voided"
    CREDITS_EXTENDED = "credits.extended"
    """A block ends later, or earlier, than it did."""
    CREDITS_ADJUSTED = "credits.adjusted"
    CREDITS_REFUNDED = "credits.refunded"
    CREDITS_SENT = "credits.sent"
    CREDITS_RECEIVED = "credits.received"
    """Credit went to another customer, or a block came from one."""
    CREDITS_PURCHASED = "credits.purchased"
    """A block was bought out of other credit."""
    PERIOD_CLOSED = "period.closed"
    """What of a period's credit was not carried has expired."""
    CREDITS_LOW_BALANCE = "credits.low_balance"
    CREDITS_EXHAUSTED = "credits.exhausted"
    OVERAGE_RECORDED = "overage.recorded"
    """A customer who owed nothing owes."""
    SPEND_CAP_WARNING = "spend_cap.warning"
    SPEND_CAP_REACHED = "spend_cap.reached"
    """What was charged in a window has come to a part of a cap, or to all of it."""
    RESERVATION_EXPIRED = "reservation.expired"
    TOPUP_GRANTED = "topup.granted"
    TOPUP_REQUESTED = "topup.requested"
    """Somebody should be charged for a package."""
    TOPUP_CHARGED_BACK = "topup.charged_back"
    CUSTOMER_CREATED = "customer.created"
    CUSTOMER_UPDATED = "customer.updated"
    CUSTOMER_SUSPENDED = "customer.suspended"
    CUSTOMER_REACTIVATED = "customer.reactivated"
    CUSTOMER_MERGED = "customer.merged"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a customer."""

    sequence: int
    """Its place in the order of all events, from 1; whoever has seen one can have seen all before it."""
    event_id: str
    type: EventType
    customer_id: str
    external_id: str
    """As it is now."""
    unit: str
    """Empty for what is about no unit."""
    occurred_at_ms: int
    data: dict[str, object]


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events. What is None, or empty, does not matter."""

    types: tuple[EventType, ...] = ()
    customer_id: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    """`from_ms` is within, `to_ms` is not."""
    after: int | None = None
    """Those behind this sequence, the oldest first; without it the newest come first."""
