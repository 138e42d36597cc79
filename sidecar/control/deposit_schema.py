"""Deposits and spends on the wire: accounts by your own ids, and any resource that can be counted."""

from typing import Annotated

from msgspec import Meta, field

from sidecar.control.credit_schema import Amount, Prose, Text
from sidecar.control.schema import Asked, Wire
from sidecar.domain.outcomes import Balance

Resource = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)",
        description="What is counted: any unit; amounts are whole numbers of its smallest part.",
    ),
]
AccountId = Annotated[str, Meta(min_length=1, max_length=255, description="Your own id of the customer.")]


class Deposit(Asked, frozen=True, kw_only=True):
    account_id: AccountId
    resource_type: Resource
    amount: Amount
    metadata: Annotated[dict[Text, Prose], Meta(max_length=32, description="Yours; kept with it.")] = field(
        default_factory=dict
    )


class Spend(Deposit, frozen=True, kw_only=True):
    """The same, taken."""


class AccountView(Wire, frozen=True, kw_only=True):
    account_id: str
    resource_type: str
    balance: Annotated[int, Meta(description="available + reserved.")]
    reserved: int
    available: int

    @classmethod
    def of(cls, account_id: str, balance: Balance) -> "AccountView":
        return cls(
            account_id=account_id,
            resource_type=balance.unit,
            balance=balance.available + balance.held,
            reserved=balance.held,
            available=balance.available,
        )


class TransactionView(AccountView, frozen=True, kw_only=True):
    """The account after a deposit or a spend."""

    amount: int
    transaction_id: Annotated[str, Meta(description="Of a deposit its block, of a spend its usage event.")]
