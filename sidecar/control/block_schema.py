"""Blocks on the wire: lists of them, how one is changed, and what an amount would take of them."""

from typing import Annotated

from msgspec import Meta

from sidecar.control.credit_schema import Amount, BalanceView, BlockView, Instant, UnitName
from sidecar.control.schema import Asked, Pagination, Wire
from sidecar.domain.amounts import CREDITS


class VoidBlock(Asked, frozen=True, kw_only=True):
    unit: Annotated[UnitName, Meta(description="What the block is of.")] = CREDITS.name


class ExtendBlock(Asked, frozen=True, kw_only=True):
    expires_at: Annotated[Instant, Meta(description="Later or earlier, but not past.")] | None
    """null: it never expires."""
    unit: Annotated[UnitName, Meta(description="What the block is of.")] = CREDITS.name


class SimulateCharge(Asked, frozen=True, kw_only=True):
    credits: Annotated[Amount, Meta(description="How much would be held or charged, in base units of `unit`.")]
    unit: Annotated[UnitName, Meta(description="What of.")] = CREDITS.name
    feature: Annotated[str, Meta(max_length=255, description="Of the request: it may draw from blocks for this.")] = (
        ""
    )
    rule: Annotated[str, Meta(max_length=255, description="Of the request, likewise.")] = ""


class SimulatedSlice(Wire, frozen=True, kw_only=True):
    block_id: str
    amount: int
    left: Annotated[int, Meta(description="What the block would have left.")]


class SimulationView(Wire, frozen=True, kw_only=True):
    """Which blocks an amount would take now, in burn order."""

    customer_id: Annotated[str, Meta(description="Who pays.")]
    unit: str
    slices: list[SimulatedSlice]
    missing: Annotated[int, Meta(description="What no block covers: above 0 it would be refused.")]


class BlocksQuery(Asked, frozen=True, kw_only=True):
    unit: UnitName | None = None


class BlockChangeView(Wire, frozen=True, kw_only=True):
    block_id: str
    customer_id: str
    external_id: str
    unit: str
    voided: Annotated[int, Meta(description="What could be spent before and cannot be any more.")]
    balance: BalanceView


class BlockPage(Wire, frozen=True, kw_only=True):
    data: list[BlockView]
    pagination: Pagination
