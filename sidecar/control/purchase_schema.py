"""Purchases out of a customer's own credit, on the wire."""

from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.control.credit_schema import Amount, Instant, Lasting, Prose, Scopes, Text, UnitName
from sidecar.control.schema import Asked, Wire
from sidecar.control.whose import Whose
from sidecar.domain.amounts import CREDITS
from sidecar.domain.blocks import PRIORITY_MAX

_SOURCE = r"^[a-z][a-z0-9_]{0,31}$(?!\n)"


class Price(Asked, frozen=True, kw_only=True):
    """What is given for it."""

    credits: Annotated[Amount, Meta(description="Base units of `unit`.")]
    unit: Annotated[UnitName, Meta(description="What is given.")] = CREDITS.name
    wallet: Annotated[Text, Meta(description="Out of this wallet alone; without it, out of any block.")] | None = None


class BoughtBlock(Asked, frozen=True, kw_only=True):
    """What is bought, and on which terms; it can be spent at once."""

    credits: Annotated[Amount, Meta(description="Base units of `unit`.")]
    unit: Annotated[UnitName, Meta(description="What is bought.")] = CREDITS.name
    source: Annotated[str, Meta(pattern=_SOURCE, description="Where it comes from.")] = "purchase"
    priority: Annotated[
        int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX, description="The lower burns first; then what expires first.")
    ] = 0
    expires_at: Annotated[Instant, Meta(description="It cannot be spent from then on.")] | None = None
    expires_in_seconds: Annotated[Lasting, Meta(description="Instead of `expires_at`: counted from now.")] | None = (
        None
    )
    eligible_features: Annotated[Scopes, Meta(description="Only requests of these features may spend it.")] = ()
    eligible_rules: Annotated[Scopes, Meta(description="Only requests of these rules may spend it.")] = ()
    wallet: Annotated[Text, Meta(description="Your name of the purse that it belongs to.")] | None = None
    metadata: Annotated[dict[Text, Prose], Meta(max_length=64, description="Yours; kept with the block.")] = (
        msgspec.field(default_factory=dict)
    )


class MakePurchase(Whose, frozen=True, kw_only=True, rename={"price": "debit"}):
    """What a customer buys out of its own credit; name it by one of its ids."""

    purchase_id: Annotated[Text, Meta(description="Good for one purchase, for ever.")]
    price: Price
    grant: BoughtBlock
    reason: Annotated[Prose, Meta(description="For people; kept in the ledger.")] = ""


class PurchaseView(Wire, frozen=True, kw_only=True):
    purchase_id: str
    customer_id: str
    external_id: str
    debited: int
    debit_unit: str
    block_id: str
    granted: int
    unit: str
    duplicate: Annotated[bool, Meta(description="It was made before, by this id: nothing changed.")]
