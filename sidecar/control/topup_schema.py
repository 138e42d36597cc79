"""Top-ups and their packages on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import (
    Amount,
    AmountOrNone,
    BalanceView,
    GrantDisplay,
    Instant,
    Lasting,
    Prose,
    Text,
    UnitName,
)
from sidecar.control.schema import Asked, Pagination, Wire, instant
from sidecar.domain.amounts import CREDITS
from sidecar.domain.blocks import PRIORITY_MAX, bonus_id
from sidecar.domain.documents import Document
from sidecar.domain.history import BlockSums
from sidecar.domain.topups import Package, topup_id

PackageKey = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$(?!\n)")]
Price = Annotated[AmountOrNone, Meta(description="In the currency's smallest unit.")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217.")]
Priority = Annotated[
    int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX, description="The lower burns first; then what expires first.")
]
Bonus = Annotated[AmountOrNone, Meta(description="Comes with it as a free block of its own, which burns first.")]
Metadata = Annotated[dict[Text, Prose], Meta(max_length=64, description="Yours.")]


class GrantTopup(Asked, frozen=True, kw_only=True):
    """What was bought, and by whom: name the customer by one of its ids."""

    customer_id: Annotated[Text, Meta(description="Our id of the customer.")] | None = None
    external_customer_id: (
        Annotated[Text, Meta(description="Your id of the customer, which is made if there is none.")] | None
    ) = None
    credits: Annotated[Amount, Meta(description="Base units; or give a package.")] | None = None
    unit: Annotated[UnitName, Meta(description="What is bought.")] = CREDITS.name
    package_id: Annotated[PackageKey, Meta(description="The package that is bought: its key.")] | None = None
    bonus_credits: Bonus | None = None
    price_paid: Price | None = None
    currency: Currency | None = None
    external_payment_id: (
        Annotated[Text, Meta(description="The payment behind it; good for one grant, for ever.")] | None
    ) = None
    auto_topup_request_id: (
        Annotated[Text, Meta(description="The request that it fulfils; it says the package, if you do not.")] | None
    ) = None
    priority: Priority | None = None
    expires_at: Annotated[Instant, Meta(description="It cannot be spent from then on.")] | None = None
    expires_in_seconds: Annotated[Lasting, Meta(description="Instead of `expires_at`.")] | None = None
    wallet: Annotated[Text, Meta(description="Your name of the purse that it belongs to.")] | None = None
    reason: Prose = ""
    metadata: Metadata = msgspec.field(default_factory=dict)


class TopupView(Wire, frozen=True, kw_only=True):
    topup_id: str
    customer_id: str
    external_id: str
    customer_created: bool
    block_id: str
    bonus_block_id: str | None
    unit: str
    granted: int
    bonus: int
    package_id: str | None
    external_payment_id: str | None
    duplicate: Annotated[bool, Meta(description="Its payment was used before: this is what it bought then.")]
    display: GrantDisplay
    balance: BalanceView


class TopupStateView(Wire, frozen=True, kw_only=True):
    """A top-up, and what has become of it. granted = remaining + spent + ended."""

    topup_id: str
    customer_id: str
    block_id: str
    bonus_block_id: str | None
    unit: str
    granted: int
    bonus: int
    remaining: Annotated[int, Meta(description="Of its block, what requests hold included; not of its bonus.")]
    spent: int
    ended: Annotated[int, Meta(description="Of its block, what has expired or was voided.")]
    taken_back: Annotated[int, Meta(description="By refunds, beside what they voided.")]
    price_paid: int | None
    currency: str | None
    package_id: str | None
    external_payment_id: str | None
    wallet: str | None
    reason: str
    metadata: dict[str, str]
    created_at: datetime
    expires_at: Annotated[datetime | None, Meta(description="null: never.")]

    @classmethod
    def of(cls, customer_id: str, sums: BlockSums) -> "TopupStateView":
        grant = sums.grant
        return cls(
            topup_id=topup_id(customer_id, grant.block_id),
            customer_id=customer_id,
            block_id=grant.block_id,
            bonus_block_id=bonus_id(grant.block_id) if grant.bonus else None,
            unit=sums.unit,
            granted=sums.granted,
            bonus=grant.bonus,
            remaining=sums.remaining,
            spent=sums.spent,
            ended=sums.granted - sums.remaining - sums.spent,
            taken_back=sums.taken_back,
            price_paid=grant.price_paid,
            currency=grant.currency,
            package_id=grant.package_id,
            external_payment_id=grant.external_payment_id,
            wallet=grant.wallet or None,
            reason=grant.reason,
            metadata=grant.metadata,
            created_at=instant(sums.created_at_ms),
            expires_at=None if sums.expires_at_ms is None else instant(sums.expires_at_ms),
        )


class TopupPage(Wire, frozen=True, kw_only=True):
    data: list[TopupStateView]
    pagination: Pagination


class RefundTopup(Asked, frozen=True, kw_only=True):
    credits: Annotated[Amount, Meta(description="Base units; without it all of it and its bonus.")] | None = None
    spent: Annotated[
        Literal["debt", "unrecoverable"],
        Meta(description="What was spent is taken out of other credit and is debt then, or it is let go."),
    ] = "debt"


class RefundView(Wire, frozen=True, kw_only=True):
    topup_id: str
    customer_id: str
    unit: str
    voided: Annotated[int, Meta(description="Could still be spent, and cannot be any more.")]
    charged: Annotated[int, Meta(description="Was taken out of what else there is, debt included.")]
    owed: int
    unrecoverable: Annotated[int, Meta(description="Was spent, and is let go.")]
    balance: BalanceView


class CreatePackage(Asked, frozen=True, kw_only=True):
    key: PackageKey
    name: Annotated[Prose, Meta(description="For people.")] = ""
    unit: UnitName = CREDITS.name
    credits: Annotated[Amount, Meta(description="Base units.")]
    bonus_credits: Bonus = 0
    price: Price
    currency: Currency
    expires_after_seconds: Annotated[Lasting, Meta(description="null: never.")] | None = None
    priority: Priority = 0
    active: Annotated[bool, Meta(description="Whether it can be bought.")] = True
    metadata: Metadata = msgspec.field(default_factory=dict)


class UpdatePackage(Asked, frozen=True, kw_only=True):
    """What is left out stays as it is. What was bought before does not change."""

    name: Prose | UnsetType = UNSET
    credits: Amount | UnsetType = UNSET
    bonus_credits: Bonus | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    currency: Currency | UnsetType = UNSET
    expires_after_seconds: Lasting | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET


class PackagesQuery(Asked, frozen=True, kw_only=True):
    active: bool | UnsetType = UNSET


class PackageView(Wire, frozen=True, kw_only=True):
    key: str
    name: str
    unit: str
    credits: int
    bonus_credits: int
    price: int
    currency: str
    expires_after_seconds: int | None
    priority: int
    active: bool
    metadata: dict[str, str]
    version: int
    updated_at: datetime

    @classmethod
    def of(cls, document: Document) -> "PackageView":
        package = msgspec.json.decode(document.body, type=Package)
        return cls(
            key=document.key,
            name=package.name,
            unit=package.unit,
            credits=package.credits,
            bonus_credits=package.bonus_credits,
            price=package.price,
            currency=package.currency,
            expires_after_seconds=package.expires_after_s,
            priority=package.priority,
            active=package.active,
            metadata=package.metadata,
            version=document.version,
            updated_at=instant(document.updated_at_ms),
        )


class PackagePage(Wire, frozen=True, kw_only=True):
    data: list[PackageView]
    pagination: Pagination = msgspec.field(default_factory=lambda: Pagination.of(None))
