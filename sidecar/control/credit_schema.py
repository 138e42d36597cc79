"""Credit on the wire: grants and their terms, balances, blocks, shares of a pool, units."""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.control.schema import Asked, Pagination, Wire, instant
from sidecar.domain.amounts import CREDITS, MAX_AMOUNT, Unit, render
from sidecar.domain.blocks import NEVER_MS, PRIORITY_MAX, Block, BlockState
from sidecar.domain.counters import CounterState
from sidecar.domain.outcomes import Balance
from sidecar.store.customers import PoolShare

_SOURCE = r"^[a-z][a-z0-9_]{0,31}$(?!\n)"
"""Also for readers of the OpenAPI document, whose regular expressions have no ``\\Z``."""
_CENTURY_S = 3_155_760_000

Instant = Annotated[datetime, Meta(tz=True)]
Amount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
AmountOrNone = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
UnitName = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]*$(?!\n)")]
Prose = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00]*$(?!\n)")]
"""What people read; nothing that a database could not keep."""
Lasting = Annotated[int, Meta(ge=1, le=_CENTURY_S)]
Scopes = Annotated[tuple[Annotated[str, Meta(pattern=r"^[^\x00-\x1f]{1,255}$(?!\n)")], ...], Meta(max_length=64)]


class GrantCredits(Asked, frozen=True, kw_only=True):
    """What is given, and on which terms. Without any it can be spent at once, by any request, and never expires."""

    credits: Annotated[Amount, Meta(description="Base units of `unit`; 1000000 is one credit, see /v1/units.")]
    unit: Annotated[UnitName, Meta(description="What is granted.")] = CREDITS.name
    source: Annotated[str, Meta(pattern=_SOURCE, description="Where it comes from: promotional, topup, …")] = "manual"
    reason: Annotated[Prose, Meta(description="For people; kept in the ledger.")] = ""
    priority: Annotated[
        int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX, description="The lower burns first; then what expires first.")
    ] = 0
    starts_at: Annotated[Instant, Meta(description="It cannot be spent before.")] | None = None
    expires_at: Annotated[Instant, Meta(description="It cannot be spent from then on.")] | None = None
    expires_in_seconds: Annotated[Lasting, Meta(description="Instead of `expires_at`: counted from now.")] | None = (
        None
    )
    starts_after_block_id: (
        Annotated[Text, Meta(description="It starts when this block has expired, is voided or is used up.")] | None
    ) = None
    duration_seconds: (
        Annotated[Lasting, Meta(description="Instead of `expires_at`: counted from its start, whenever that is.")]
        | None
    ) = None
    price_paid: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=MAX_AMOUNT,
                description="In the currency's smallest unit. Free credit burns before paid credit.",
            ),
        ]
        | None
    ) = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217.")] | None = None
    eligible_features: Annotated[Scopes, Meta(description="Only requests of these features may spend it.")] = ()
    eligible_rules: Annotated[Scopes, Meta(description="Only requests of these rules may spend it.")] = ()
    wallet: Annotated[Text, Meta(description="Your name of the purse that it belongs to.")] | None = None
    series: Annotated[Text, Meta(description="The grants that `cap` counts together.")] | None = None
    cap: (
        Annotated[AmountOrNone, Meta(description="What is left of the series may reach; the grant is cut to fit.")]
        | None
    ) = None
    metadata: Annotated[
        dict[Text, Prose],
        Meta(max_length=64, description="Yours; kept with the block."),
    ] = msgspec.field(default_factory=dict)
    dedup_key: Annotated[Text, Meta(description="Good for one grant, for ever.")] | None = None
    external_payment_id: (
        Annotated[Text, Meta(description="The payment behind it; good for one grant, for ever.")] | None
    ) = None


class SetPoolCap(Asked, frozen=True, kw_only=True):
    cap: Annotated[AmountOrNone, Meta(description="Most that the member may hold and spend, all in all.")] | None
    """null: no limit of its own."""
    unit: Annotated[UnitName, Meta(description="Of what.")] = CREDITS.name


class CreditsQuery(Asked, frozen=True, kw_only=True):
    include_blocks: bool = False
    include_wallets: bool = False
    at: Annotated[Instant, Meta(description="The balances as they were then.")] | None = None


class AmountsDisplay(Wire, frozen=True, kw_only=True):
    """Amounts as decimals of their unit."""

    available: str
    scheduled: str
    held: str
    spent: str
    expired: str
    voided: str
    granted: str


class BalanceDisplay(AmountsDisplay, frozen=True, kw_only=True):
    """The amounts of a balance as decimals of its unit."""

    owed: str


class BlockView(Wire, frozen=True, kw_only=True):
    """What one grant made. granted = scheduled + available + held + spent + expired + voided."""

    block_id: str
    unit: str
    state: Annotated[str, Meta(description="active, scheduled, queued, expired or voided.")]
    burn_position: Annotated[int | None, Meta(description="1 burns first; null while it cannot be spent.")]
    available: int
    scheduled: int
    held: int
    spent: int
    expired: int
    voided: int
    granted: int
    source: str
    reason: str
    priority: int
    created_at: datetime
    starts_at: Annotated[datetime | None, Meta(description="null while it waits for another block.")]
    expires_at: Annotated[datetime | None, Meta(description="null: never.")]
    starts_after_block_id: str | None
    duration_seconds: int | None
    price_paid: int | None
    currency: str | None
    eligible_features: list[str]
    eligible_rules: list[str]
    wallet: str | None
    series: str
    cap: int | None
    metadata: dict[str, str]
    dedup_key: str | None
    external_payment_id: str | None
    display: AmountsDisplay | UnsetType = UNSET

    @classmethod
    def of(cls, block: Block, unit: Unit | None) -> "BlockView":
        """`unit` None: it is not configured any more, so nobody knows its decimals."""
        amounts, grant = _amounts_of(block), block.grant
        return cls(
            block_id=grant.block_id,
            unit=grant.unit,
            state=block.state,
            burn_position=block.burn_position,
            source=grant.source,
            reason=grant.reason,
            priority=grant.priority,
            created_at=instant(block.created_at_ms),
            starts_at=_instant_or_none(block.starts_at_ms),
            expires_at=_instant_or_none(block.expires_at_ms),
            starts_after_block_id=grant.starts_after_block_id,
            duration_seconds=None if grant.duration_ms is None else grant.duration_ms // 1000,
            price_paid=grant.price_paid,
            currency=grant.currency,
            eligible_features=list(grant.eligible_features),
            eligible_rules=list(grant.eligible_rules),
            wallet=grant.wallet or None,
            series=grant.series,
            cap=grant.cap,
            metadata=grant.metadata,
            dedup_key=grant.dedup_key,
            external_payment_id=grant.external_payment_id,
            display=AmountsDisplay(**{name: render(n, unit) for name, n in amounts.items()}) if unit else UNSET,
            **amounts,
        )


def block_views(blocks: Iterable[Block], unit: Unit | None) -> list[BlockView]:
    """In burn order; then those that cannot be spent, by their start."""
    last = math.inf

    def order(block: Block) -> tuple[float, float, int]:
        return block.burn_position or last, last if block.starts_at_ms is None else block.starts_at_ms, block.number

    return [BlockView.of(block, unit) for block in sorted(blocks, key=order)]


class WalletDisplay(Wire, frozen=True, kw_only=True):
    available: str
    scheduled: str
    held: str


class NextExpiry(Wire, frozen=True, kw_only=True):
    """What expires next, if it is not spent before."""

    at: datetime
    amount: int

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> "NextExpiry | None":
        ends = {
            block.expires_at_ms
            for block in blocks
            if block.state is BlockState.ACTIVE and block.available and block.expires_at_ms is not None
        }
        if not ends:
            return None
        first = min(ends)
        amount = sum(
            block.available for block in blocks if block.state is BlockState.ACTIVE and block.expires_at_ms == first
        )
        return cls(at=instant(first), amount=amount)


class WalletView(Wire, frozen=True, kw_only=True):
    """What the live blocks of one wallet have."""

    wallet: Annotated[str | None, Meta(description="null: of the blocks that belong to none.")]
    available: int
    scheduled: int
    held: int
    display: WalletDisplay | UnsetType = UNSET
    next_expiry: NextExpiry | None

    @classmethod
    def all_of(cls, blocks: Iterable[Block], unit: Unit | None) -> "list[WalletView]":
        """By name, those blocks last that belong to none."""
        by_name: dict[str, list[Block]] = {}
        for block in blocks:
            by_name.setdefault(block.grant.wallet, []).append(block)
        return [cls._of(name, by_name[name], unit) for name in sorted(by_name, key=lambda name: (not name, name))]

    @classmethod
    def _of(cls, name: str, blocks: Sequence[Block], unit: Unit | None) -> "WalletView":
        names = WalletDisplay.__struct_fields__
        amounts = {each: sum(_amounts_of(block)[each] for block in blocks) for each in names}
        decimals = WalletDisplay(**{each: render(n, unit) for each, n in amounts.items()}) if unit else UNSET
        return cls(wallet=name or None, display=decimals, next_expiry=NextExpiry.of(blocks), **amounts)


class BalanceView(Wire, frozen=True, kw_only=True):
    """granted = scheduled + available + held + spent + expired + voided; `owed` is debt beside it."""

    unit: str
    available: int
    scheduled: Annotated[int, Meta(description="Of blocks that have not started.")]
    held: int
    spent: int
    expired: int
    voided: int
    owed: Annotated[int, Meta(description="The next credit repays it; until then nothing can be held.")]
    granted: int
    display: BalanceDisplay | UnsetType = UNSET
    next_expiry: NextExpiry | UnsetType | None = UNSET
    blocks: Annotated[list[BlockView], Meta(description="In burn order.")] | UnsetType = UNSET
    wallets: Annotated[list[WalletView], Meta(description="By name.")] | UnsetType = UNSET

    @classmethod
    def of(cls, balance: Balance, unit: Unit | None) -> "BalanceView":
        """`unit` None: it is not configured any more, so nobody knows its decimals."""
        amounts = {name: getattr(balance, name) for name in BalanceDisplay.__struct_fields__}
        decimals = BalanceDisplay(**{name: render(n, unit) for name, n in amounts.items()}) if unit else UNSET
        return cls(unit=balance.unit, display=decimals, **amounts)

    def with_blocks(self, blocks: Sequence[Block], unit: Unit | None) -> "BalanceView":
        return msgspec.structs.replace(self, next_expiry=NextExpiry.of(blocks), blocks=block_views(blocks, unit))


class ShareDisplay(Wire, frozen=True, kw_only=True):
    held: str
    spent: str
    cap: str | None


class ShareView(Wire, frozen=True, kw_only=True):
    """What a member takes of its pool in one unit, against what it may take."""

    unit: str
    held: int
    spent: int
    cap: Annotated[int | None, Meta(description="Most that it may hold and spend, all in all; null: no limit.")]
    display: ShareDisplay | UnsetType = UNSET

    @classmethod
    def of(cls, share: PoolShare, unit: Unit | None) -> "ShareView":
        decimals: ShareDisplay | UnsetType = UNSET
        if unit:
            cap = None if share.cap is None else render(share.cap, unit)
            decimals = ShareDisplay(held=render(share.held, unit), spent=render(share.spent, unit), cap=cap)
        return cls(unit=share.unit, held=share.held, spent=share.spent, cap=share.cap, display=decimals)


class PoolView(Wire, frozen=True, kw_only=True):
    """A member of a pool, and its share in each unit that the pool has, or that the member has a cap in."""

    customer_id: str
    parent_customer_id: str
    shares: list[ShareView]


class CreditsView(Wire, frozen=True, kw_only=True):
    """`balances` are those of who pays: of a member of a pool, its parent's."""

    customer_id: str
    external_id: str
    payer_customer_id: str
    balances: list[BalanceView]
    at: datetime | UnsetType = UNSET
    shares: Annotated[list[ShareView], Meta(description="Of a member of a pool: its own part.")] | UnsetType = UNSET


class GrantDisplay(Wire, frozen=True, kw_only=True):
    granted: str
    withheld: str


class GrantView(Wire, frozen=True, kw_only=True):
    block_id: Annotated[str | None, Meta(description="null when the cap withheld everything.")]
    customer_id: str
    external_id: str
    unit: str
    granted: int
    withheld: Annotated[int, Meta(description="What the cap cut off.")]
    duplicate: Annotated[bool, Meta(description="Its business key was used before: this is what it granted then.")]
    display: GrantDisplay
    balance: BalanceView


class UnitView(Wire, frozen=True, kw_only=True):
    unit: str
    scale: Annotated[int, Meta(description="Decimal places: 6 means that 1000000 base units are one.")]


class UnitPage(Wire, frozen=True, kw_only=True):
    data: list[UnitView]
    pagination: Pagination


def _amounts_of(block: Block) -> dict[str, int]:
    active, lapsed = block.state in {BlockState.ACTIVE, BlockState.EXPIRED, BlockState.VOIDED}, block.lapsed
    return {
        "available": block.available if active else 0,
        "scheduled": 0 if active else block.available,
        "held": block.held,
        "spent": block.spent,
        "expired": 0 if block.state is BlockState.VOIDED else lapsed,
        "voided": lapsed if block.state is BlockState.VOIDED else 0,
        "granted": block.granted,
    }


def _instant_or_none(epoch_ms: int | None) -> datetime | None:
    return None if epoch_ms is None else instant(epoch_ms)


class CounterView(Wire, frozen=True, kw_only=True):
    """How much of something was used in one period."""

    counter: Annotated[str, Meta(description="The rule and the meter, or the name that rules share.")]
    period: Annotated[str, Meta(description="2026-11-23T04, 2026-11-23, 2026-W48, 2026-11 or ever; in UTC.")]
    position: Annotated[int, Meta(description="What was counted.")]
    held: Annotated[int, Meta(description="What open holds may still count.")]
    kept_until: Annotated[datetime | None, Meta(description="null: for ever.")]

    @classmethod
    def of(cls, state: CounterState) -> "CounterView":
        counter = state.counter
        return cls(
            counter=counter.name,
            period=counter.period,
            position=state.stand.used,
            held=state.stand.held,
            kept_until=None if counter.forget_at_ms == NEVER_MS else instant(counter.forget_at_ms),
        )


class CountersView(Wire, frozen=True, kw_only=True):
    customer_id: str
    external_id: str
    payer_customer_id: Annotated[str, Meta(description="Whose counters these are.")]
    counters: list[CounterView]
