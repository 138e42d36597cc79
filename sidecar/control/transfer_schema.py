"""Transfers on the wire."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import Amount, BalanceView, Prose, UnitName
from sidecar.control.schema import Asked, Wire
from sidecar.domain.amounts import CREDITS


class TransferCredits(Asked, frozen=True, kw_only=True):
    credits: Annotated[Amount, Meta(description="How much, in base units of `unit`.")]
    unit: Annotated[UnitName, Meta(description="What is given.")] = CREDITS.name
    to_customer_id: (
        Annotated[str, Meta(max_length=64, description="Who gets it: our id; or `to_external_customer_id`.")]
        | UnsetType
    ) = UNSET
    to_external_customer_id: (
        Annotated[str, Meta(max_length=255, description="Your id of who gets it.")] | UnsetType
    ) = UNSET
    reason: Annotated[Prose, Meta(description="For people; kept in both ledgers.")] = ""


class TransferredBlock(Wire, frozen=True, kw_only=True):
    block_id: Annotated[str, Meta(description="The block that the other customer has of it.")]
    amount: int


class TransferView(Wire, frozen=True, kw_only=True):
    """What went from one customer to another."""

    transfer_id: str
    customer_id: Annotated[str, Meta(description="Who gave it.")]
    to_customer_id: str
    unit: str
    transferred: int
    blocks: list[TransferredBlock]
    state: Annotated[
        str,
        Meta(description="on_its_way: the other customer has too many blocks; it arrives when there is room."),
    ]
    balance: Annotated[BalanceView, Meta(description="Of who gave it.")]
