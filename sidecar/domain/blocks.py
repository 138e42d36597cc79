"""Credit blocks: what a grant makes and a hold draws from, and the order in which they burn.

Times are epoch milliseconds of the store's clock; amounts are base units of the block's unit.
"""

from enum import StrEnum

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT, checked
from sidecar.domain.errors import InvalidInput
from sidecar.domain.periods import SERIES as PERIOD_SERIES

NEVER_MS = MAX_AMOUNT
"""The end of a block that never expires, in the store; None everywhere else."""
BLOCKS_MAX = 256
"""Most live blocks of one account."""
PRIORITY_MAX = 2**31 - 1
_TEXT_MAX = 255
_ITEMS_MAX = 64


class BlockState(StrEnum):
    """`queued` waits for another block to be over, `scheduled` for its own start."""

    ACTIVE = "active"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    EXPIRED = "expired"
    VOIDED = "voided"


class Purchase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a customer gave for a block out of its own credit."""

    purchase_id: str
    """Good for one purchase, for ever."""
    unit: str
    amount: int
    wallet: str = ""
    """Out of which wallet; empty: out of any block."""
    terms: str
    """A fingerprint of all that was asked for: the id is good for nothing else."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is given to a customer, and on which terms. `checked_grant` says whether it can be."""

    block_id: str
    unit: str
    amount: int
    source: str
    reason: str = ""
    priority: int = 0
    """The lower burns first."""
    starts_at_ms: int | None = None
    """None: at once."""
    expires_at_ms: int | None = None
    duration_ms: int | None = None
    """Instead of `expires_at_ms`: counted from the block's start. Neither: it never expires."""
    starts_after_block_id: str | None = None
    """Instead of `starts_at_ms`: it starts when this block has expired, is voided or is used up."""
    price_paid: int | None = None
    """In the currency's smallest unit; a block with a price above 0 is paid, every other is free."""
    currency: str | None = None
    eligible_features: tuple[str, ...] = ()
    eligible_rules: tuple[str, ...] = ()
    """Both empty: any request may draw from it. Otherwise those of one of these features or rules."""
    series: str = ""
    cap: int | None = None
    """What the live blocks of this series may hold together; the grant is cut to fit."""
    metadata: dict[str, str] = {}
    dedup_key: str | None = None
    external_payment_id: str | None = None
    """Both are good for one grant, for ever."""
    package_id: str | None = None
    """The package that was bought."""
    auto_topup_request_id: str | None = None
    """The request that it fulfils."""
    bonus: int = 0
    """So much comes with it, free, as a block of its own on the same terms."""
    bonus_of: str | None = None
    """Of such a block, the one that it came with."""
    wallet: str = ""
    """The purse that it belongs to, by its owner's name for it; empty: none."""
    purchase: Purchase | None = None
    """How it was bought, if it was."""
    transfer: str | None = None
    """Of what came from another customer, which piece of which transfer it is: ``trf_…:1``."""
    period_starts_at_ms: int | None = None
    """Of what a period brought, which one; good for one grant in the unit, for ever."""

    def bonus_grant(self) -> "Grant":
        """What comes with it."""
        return msgspec.structs.replace(
            self,
            block_id=bonus_id(self.block_id),
            amount=self.bonus,
            bonus=0,
            bonus_of=self.block_id,
            price_paid=None,
            currency=None,
            dedup_key=None,
            external_payment_id=None,
            auto_topup_request_id=None,
        )


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A live block. granted = scheduled or available + held + spent + lapsed."""

    number: int
    """Counts the blocks of its account, in the order in which they were granted."""
    grant: Grant
    state: BlockState
    granted: int
    available: int
    """What can be spent; of a block that has not started, what it will bring."""
    held: int
    lapsed: int
    """Expired or voided: as the state says, but that of an active block a part may have expired with its period."""
    created_at_ms: int
    starts_at_ms: int | None
    """None while it is queued."""
    expires_at_ms: int | None
    burn_position: int | None = None
    """1 burns first; None when it cannot be drawn from."""

    @property
    def spent(self) -> int:
        return self.granted - self.available - self.held - self.lapsed


class Slice(msgspec.Struct, frozen=True):
    """So much of one block, by its number."""

    block: int
    amount: int


def bonus_id(block_id: str) -> str:
    """The id of the block that comes with this one."""
    return f"{block_id}_bonus"


def checked_grant(grant: Grant) -> Grant:
    """`grant`, or InvalidInput that names the field. Whether its times are past is for the store's clock to say."""
    if checked(grant.amount) == 0:
        raise InvalidInput("amount must be above 0; got 0.", "amount")
    if abs(grant.priority) > PRIORITY_MAX:
        raise InvalidInput(f"priority must lie within ±{PRIORITY_MAX}; got {grant.priority}.", "priority")
    for name in ("starts_at_ms", "expires_at_ms", "duration_ms", "price_paid", "cap", "period_starts_at_ms"):
        if (value := getattr(grant, name)) is not None:
            checked(value, name)
    if grant.duration_ms == 0:
        raise InvalidInput("duration_ms must be above 0; got 0.", "duration_ms")
    _exclude(grant, "expires_at_ms", "duration_ms")
    _exclude(grant, "starts_at_ms", "starts_after_block_id")
    if grant.starts_after_block_id is not None and grant.expires_at_ms is not None:
        raise InvalidInput(
            "A block that starts after another one cannot have a fixed expiry; give its duration instead.",
            "expires_at_ms",
        )
    start, end = grant.starts_at_ms, grant.expires_at_ms
    if start is not None and end is not None and end <= start:
        raise InvalidInput("A block must expire after it starts.", "expires_at_ms")
    if grant.price_paid and not grant.currency:
        raise InvalidInput("price_paid needs a currency, such as EUR.", "currency")
    _check_series(grant)
    _check_sizes(grant)
    return grant


def _exclude(grant: Grant, one: str, other: str) -> None:
    if getattr(grant, one) is not None and getattr(grant, other) is not None:
        raise InvalidInput(f"Give {one} or {other}, not both.", other)


def _check_series(grant: Grant) -> None:
    if grant.cap is not None and not grant.series:
        raise InvalidInput("A cap needs a series: the blocks that it counts.", "series")
    if checked(grant.bonus, "bonus") and grant.series:
        raise InvalidInput("A bonus comes with grants that have no series.", "bonus")
    if grant.series == PERIOD_SERIES and grant.period_starts_at_ms is None:
        raise InvalidInput(f"The series {PERIOD_SERIES!r} is that of what periods bring: open one.", "series")


def _check_sizes(grant: Grant) -> None:
    texts = {
        "source": grant.source,
        "series": grant.series,
        "wallet": grant.wallet,
        "purchase_id": "" if grant.purchase is None else grant.purchase.purchase_id,
        "currency": grant.currency or "",
        "dedup_key": grant.dedup_key or "",
        "external_payment_id": grant.external_payment_id or "",
        "package_id": grant.package_id or "",
        "reason": grant.reason,
        **{f"metadata.{key}": key + value for key, value in grant.metadata.items()},
        **{f"eligible_features.{name}": name for name in grant.eligible_features},
        **{f"eligible_rules.{name}": name for name in grant.eligible_rules},
    }
    for field, text in texts.items():
        if len(text) > _TEXT_MAX:
            raise InvalidInput(f"{field} must have at most {_TEXT_MAX} characters; got {len(text)}.", field)
    for name in (*grant.eligible_features, *grant.eligible_rules):
        if name in {"", "-"} or not name.isprintable():
            raise InvalidInput(
                f"A block is for features and rules by their names; got {name!r}.", "eligible_features"
            )
    for name in ("metadata", "eligible_features", "eligible_rules"):
        if len(getattr(grant, name)) > _ITEMS_MAX:
            raise InvalidInput(f"{name} must have at most {_ITEMS_MAX} entries.", name)
