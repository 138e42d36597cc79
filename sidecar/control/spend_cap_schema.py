"""Spend caps on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import AmountOrNone, Text, UnitName
from sidecar.control.schema import Asked, Pagination, Wire, instant, words
from sidecar.domain.amounts import CREDITS, Unit, render
from sidecar.domain.customers import Customer
from sidecar.domain.spend_caps import ROLLING_MAX_MS, ROLLING_MIN_MS, CapScope, CapStand, Window

Word = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x20]+$(?!\n)")]
WarnAt = Annotated[tuple[Annotated[int, Meta(ge=1, le=100)], ...], Meta(max_length=10)]


class SpendCapTerms(Asked, frozen=True, kw_only=True):
    """At most `amount` in each window: of the calendar, or of the last `rolling_seconds`."""

    amount: Annotated[AmountOrNone, Meta(description="Base units of `unit`; what is held counts, too.")]
    unit: Annotated[UnitName, Meta(description="What is capped.")] = CREDITS.name
    window: Annotated[Window, Meta(description="Of the calendar of `tz`; or give `rolling_seconds`.")] | None = None
    rolling_seconds: (
        Annotated[
            int,
            Meta(ge=ROLLING_MIN_MS // 1000, le=ROLLING_MAX_MS // 1000, description="A window that goes along."),
        ]
        | None
    ) = None
    tz: Annotated[Text, Meta(description="The time zone whose calendar counts: Europe/Berlin, UTC, …")] = "UTC"
    action: Annotated[
        Literal["block", "notify"],
        Meta(description="notify: it refuses nothing; it counts, and says what is reached."),
    ] = "block"
    warn_at: Annotated[
        WarnAt, Meta(description="Percentages of the amount that are shown once they are reached.")
    ] = ()


class SetSpendCap(SpendCapTerms, frozen=True, kw_only=True):
    """A cap, and what of a customer's requests it counts."""

    scope: Annotated[
        CapScope, Meta(description="total, or one feature, rule or proxy key, which is named beside it.")
    ] = CapScope.TOTAL
    feature: Annotated[Word, Meta(description="With the scope feature.")] | None = None
    rule: Annotated[Word, Meta(description="With the scope rule.")] | None = None
    key_id: Annotated[Word, Meta(description="With the scope key: a proxy key of this customer.")] | None = None


class SpendCapsQuery(Asked, frozen=True, kw_only=True):
    unit: UnitName | None = None


class RemoveSpendCapQuery(Asked, frozen=True, kw_only=True):
    unit: UnitName = CREDITS.name


class SpendCapDisplay(Wire, frozen=True, kw_only=True):
    """The amounts as decimals of the unit."""

    amount: str
    spent: str
    held: str
    left: str


class SpendCapView(Wire, frozen=True, kw_only=True):
    """A cap, and how it stands in its window."""

    cap_id: str
    customer_id: str
    external_id: str
    unit: str
    amount: int
    window: Annotated[str, words(*Window)] | None
    rolling_seconds: int | None
    tz: str
    scope: Annotated[str, words(*CapScope)]
    feature: str | None
    rule: str | None
    key_id: str | None
    action: str
    warn_at: list[int]
    reached: Annotated[list[int], Meta(description="Those of `warn_at` that are reached in this window.")]
    created_at: datetime
    spent: Annotated[int, Meta(description="Of what was reserved in this window, what was charged.")]
    held: Annotated[int, Meta(description="The same, what open holds keep.")]
    left: int
    reset_at: Annotated[datetime, Meta(description="When nothing of this counts any more.")]
    display: SpendCapDisplay | UnsetType = UNSET

    @classmethod
    def of(cls, customer: Customer, stand: CapStand, unit: Unit | None) -> "SpendCapView":
        """`unit` None: it is not configured any more, so nobody knows its decimals."""
        cap = stand.cap
        numbers = {
            "amount": cap.amount,
            "spent": stand.spent,
            "held": stand.held,
            "left": max(cap.amount - stand.spent - stand.held, 0),
        }
        return cls(
            cap_id=cap.cap_id,
            customer_id=customer.customer_id,
            external_id=customer.external_id,
            unit=cap.unit,
            window=cap.window,
            rolling_seconds=cap.rolling_ms // 1000 or None,
            tz=cap.tz,
            scope=cap.scope,
            feature=cap.of if cap.scope is CapScope.FEATURE else None,
            rule=cap.of if cap.scope is CapScope.RULE else None,
            key_id=cap.of if cap.scope is CapScope.KEY else None,
            action="block" if cap.blocks else "notify",
            warn_at=list(cap.warn_at),
            reached=stand.reached,
            created_at=instant(cap.created_at_ms),
            reset_at=instant(stand.reset_at_ms),
            display=SpendCapDisplay(**{name: render(n, unit) for name, n in numbers.items()}) if unit else UNSET,
            **numbers,
        )


class SpendCapPage(Wire, frozen=True, kw_only=True):
    data: list[SpendCapView]
    pagination: Pagination = msgspec.field(default_factory=lambda: Pagination.of(None))
