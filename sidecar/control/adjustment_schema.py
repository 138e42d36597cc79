"""Adjustments and refunds on the wire."""

from typing import Annotated

from msgspec import Meta

from sidecar.control.credit_schema import Amount, BalanceView, Instant, Prose, Text, UnitName
from sidecar.control.schema import Asked, Wire
from sidecar.domain.amounts import CREDITS, MAX_AMOUNT

Until = Annotated[Instant, Meta(description="Of what becomes a new block; without it, it never expires.")]


class AdjustCredits(Asked, frozen=True, kw_only=True):
    delta: Annotated[
        int,
        Meta(
            ge=-MAX_AMOUNT,
            le=MAX_AMOUNT,
            description="Base units, not 0: above 0 it is a new block, below it is taken in burn order.",
        ),
    ]
    reason: Annotated[Prose, Meta(min_length=1, description="Why; kept in the ledger.")]
    unit: Annotated[UnitName, Meta(description="What is adjusted.")] = CREDITS.name
    reference_entry_id: (
        Annotated[Text, Meta(description="The entry that it corrects, of the same customer.")] | None
    ) = None
    allow_negative: Annotated[
        bool, Meta(description="What is not there becomes debt; else that is a 402, and nothing is taken.")
    ] = False
    expires_at: Until | None = None


class AdjustmentView(Wire, frozen=True, kw_only=True):
    """What an adjustment did."""

    customer_id: str
    unit: str
    delta: int
    owed: Annotated[int, Meta(description="The part of it that became debt.")]
    block_id: Annotated[str | None, Meta(description="The new block, of what was given.")]
    balance: BalanceView


class RefundCharge(Asked, frozen=True, kw_only=True):
    entry_id: Annotated[Text, Meta(description="The entry of the ledger that charged it.")]
    reason: Annotated[Prose, Meta(min_length=1, description="Why; kept in the ledger.")]
    credits: (
        Annotated[Amount, Meta(description="How much of it, in base units; all that is left of it if not given.")]
        | None
    ) = None
    expires_at: Until | None = None


class VoidUsage(Asked, frozen=True, kw_only=True):
    reason: Annotated[Prose, Meta(min_length=1, description="Why; kept in the ledger.")]


class RefundedView(Wire, frozen=True, kw_only=True):
    """What a refund gave back."""

    customer_id: str
    entry_id: str
    unit: str
    refunded: int
    restored: Annotated[int, Meta(description="What went back into the blocks that had paid.")]
    granted: Annotated[int, Meta(description="What is in a new block, since those that had paid are over.")]
    block_id: str | None
    refunded_in_all: Annotated[int, Meta(description="Of this charge, all refunds together.")]
    balance: BalanceView
