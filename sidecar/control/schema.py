"""What the control API takes and answers, as it is on the wire.

These records serve the requests and generate the OpenAPI document. They are never the store's own: renaming a field
here must not touch Redis. Amounts are integers of base units; `display` says the same as decimals, for people.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sidecar.domain.amounts import CREDITS, MAX_AMOUNT, Unit, render
from sidecar.domain.outcomes import Balance, OpenHold
from sidecar.store.customers import Customer, ProxyKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SOURCE = r"^[a-z][a-z0-9_]{0,31}$(?!\n)"
"""Also for readers of the OpenAPI document, whose regular expressions have no ``\\Z``."""

LIMIT_DEFAULT = 50
LIMIT_MAX = 250

SHOWN_ONCE = (
    "The secret was shown once, in the first answer, and only its hash is stored. If it is lost, make a new key."
)


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything on the wire: a field that we do not know is an error, never ignored."""


class Nothing(Wire, frozen=True, kw_only=True):
    """An endpoint that takes no body, or no query."""


class CreateCustomer(Wire, frozen=True, kw_only=True):
    external_id: Annotated[str, Meta(min_length=1, max_length=255, description="Your own id of the customer.")]
    display_name: Annotated[str, Meta(max_length=255, description="For people; may be empty.")] = ""


class CustomerView(Wire, frozen=True, kw_only=True):
    customer_id: str
    external_id: str
    display_name: str
    status: str
    created_at: datetime

    @classmethod
    def of(cls, customer: Customer) -> "CustomerView":
        return cls(
            customer_id=customer.customer_id,
            external_id=customer.external_id,
            display_name=customer.display_name,
            status=customer.status,
            created_at=instant(customer.created_at_ms),
        )


class GrantCredits(Wire, frozen=True, kw_only=True):
    credits: Annotated[
        int, Meta(ge=1, le=MAX_AMOUNT, description="Base units of `unit`; 1000000 is one credit, see /v1/units.")
    ]
    unit: Annotated[str, Meta(min_length=1, max_length=64, description="What is granted.")] = CREDITS.name
    source: Annotated[str, Meta(pattern=_SOURCE, description="Where it comes from: promotional, topup, …")] = "manual"
    reason: Annotated[str, Meta(max_length=500, description="For people; kept in the journal.")] = ""


class BalanceDisplay(Wire, frozen=True, kw_only=True):
    """The amounts of a balance as decimals of its unit."""

    available: str
    held: str
    spent: str
    owed: str
    granted: str


class BalanceView(Wire, frozen=True, kw_only=True):
    """granted = available + held + spent; `owed` is debt beside it, which the next grant repays."""

    unit: str
    available: int
    held: int
    spent: int
    owed: int
    granted: int
    display: BalanceDisplay | UnsetType = UNSET

    @classmethod
    def of(cls, balance: Balance, unit: Unit | None) -> "BalanceView":
        """`unit` None: it is not configured any more, so nobody knows its decimals."""
        amounts = {name: getattr(balance, name) for name in BalanceDisplay.__struct_fields__}
        decimals = BalanceDisplay(**{name: render(n, unit) for name, n in amounts.items()}) if unit else UNSET
        return cls(unit=balance.unit, display=decimals, **amounts)


class CreditsView(Wire, frozen=True, kw_only=True):
    customer_id: str
    external_id: str
    balances: list[BalanceView]


class GrantView(Wire, frozen=True, kw_only=True):
    grant_id: str
    customer_id: str
    external_id: str
    unit: str
    credits: int
    source: str
    reason: str
    balance: BalanceView


class CreateKey(Wire, frozen=True, kw_only=True):
    name: Annotated[str, Meta(max_length=255, description="For people; may be empty.")] = ""


class KeyView(Wire, frozen=True, kw_only=True):
    key_id: str
    customer_id: str
    name: str
    hint: Annotated[str, Meta(description="The start and the end of the secret, to recognise it.")]
    created_at: datetime

    @classmethod
    def of(cls, key: ProxyKey) -> "KeyView":
        return cls(
            key_id=key.key_id,
            customer_id=key.customer_id,
            name=key.name,
            hint=key.hint,
            created_at=instant(key.created_at_ms),
        )


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """A key just made. A replayed answer has `notice` in place of `secret`."""

    secret: str | UnsetType = UNSET
    notice: str | UnsetType = UNSET

    @classmethod
    def showing(cls, key: ProxyKey, secret: str) -> "NewKeyView":
        return cls(**msgspec.structs.asdict(KeyView.of(key)), secret=secret)

    def without_secret(self) -> "NewKeyView":
        return msgspec.structs.replace(self, secret=UNSET, notice=SHOWN_ONCE)


class AmountDisplay(Wire, frozen=True, kw_only=True):
    held: str


class HoldView(Wire, frozen=True, kw_only=True):
    """One open reservation."""

    reservation_id: str
    customer_id: str
    unit: str
    held: int
    rule: str
    created_at: datetime
    expires_at: datetime
    display: AmountDisplay | UnsetType = UNSET

    @classmethod
    def of(cls, hold: OpenHold, unit: Unit | None) -> "HoldView":
        return cls(
            reservation_id=hold.reservation_id,
            customer_id=hold.customer_id,
            unit=hold.unit,
            held=hold.held,
            rule=hold.rule,
            created_at=instant(hold.created_at_ms),
            expires_at=instant(hold.expires_at_ms),
            display=AmountDisplay(held=render(hold.held, unit)) if unit else UNSET,
        )


class UnitView(Wire, frozen=True, kw_only=True):
    unit: str
    scale: Annotated[int, Meta(description="Decimal places: 6 means that 1000000 base units are one.")]


class Paging(Wire, frozen=True, kw_only=True):
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Meta(min_length=1, max_length=1024)] | UnsetType = UNSET


class HoldsQuery(Paging, frozen=True, kw_only=True):
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET


class Pagination(Wire, frozen=True, kw_only=True):
    has_more: bool
    next_cursor: str | None

    @classmethod
    def of(cls, next_cursor: str | None) -> "Pagination":
        return cls(has_more=next_cursor is not None, next_cursor=next_cursor)


class KeyPage(Wire, frozen=True, kw_only=True):
    data: list[KeyView]
    pagination: Pagination


class HoldPage(Wire, frozen=True, kw_only=True):
    data: list[HoldView]
    pagination: Pagination


class UnitPage(Wire, frozen=True, kw_only=True):
    data: list[UnitView]
    pagination: Pagination


class Health(Wire, frozen=True, kw_only=True):
    status: str


class FieldError(Wire, frozen=True, kw_only=True):
    path: Annotated[str, Meta(description="Where in the body or the query: `$.credits`.")]
    message: str


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """RFC 9457. `code` is the member to switch on."""

    type: str
    title: str
    status: int
    detail: str
    instance: Annotated[str, Meta(description="The id of the request, also in the header x-request-id.")]
    code: str
    errors: list[FieldError] | UnsetType = UNSET


def instant(epoch_ms: int) -> datetime:
    """Exact, unlike a division by 1000."""
    return _EPOCH + timedelta(milliseconds=epoch_ms)
