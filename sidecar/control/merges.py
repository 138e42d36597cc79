"""Merging: two customers that are one."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import Prose
from sidecar.control.customer_schema import CustomerView
from sidecar.control.endpoint import BY_ID, Call, Given, Repeat, endpoint
from sidecar.control.schema import Asked, Nothing, Wire
from sidecar.control.whose import Whose, customer_of
from sidecar.domain.errors import InvalidInput
from sidecar.domain.scopes import Scope


class MergeCustomer(Asked, frozen=True, kw_only=True):
    """Who is this customer, too: name it by one of its ids."""

    from_customer_id: Annotated[str, Meta(max_length=64, description="Our id of the other.")] | UnsetType = UNSET
    from_external_customer_id: Annotated[str, Meta(max_length=255, description="Your id of it.")] | UnsetType = UNSET
    reason: Annotated[Prose, Meta(description="For people; kept in both ledgers.")] = ""


class MergedCredit(Wire, frozen=True, kw_only=True):
    transfer_id: str
    unit: str
    amount: int


class MergeView(Wire, frozen=True, kw_only=True):
    """What a merge did; of a repetition, what was left to do."""

    customer: CustomerView
    merged_customer_id: Annotated[str, Meta(description="Who is this customer from now on.")]
    transferred: list[MergedCredit]
    keys_moved: int
    complete: Annotated[
        bool,
        Meta(description="false: requests of the other had begun meanwhile; repeat it when their holds are settled."),
    ]


async def merge_customer(call: Call[MergeCustomer, Nothing]) -> Given[MergeView]:
    """Let another customer be this one: for ever.

    This one gets what the other was called by, its proxy keys, and its credit, block by block on its terms. The other
    stays, under its id, with its ledger and without anything else, and says who it is now. Repeated, it finishes what
    was begun. It is answered when it is archived.
    """
    body, parts, into = call.body, call.parts, call.customer
    try:
        whose = Whose(customer_id=body.from_customer_id, external_customer_id=body.from_external_customer_id)
        one = await customer_of(parts, whose, merged=True)
    except InvalidInput as error:
        raise InvalidInput(
            "Name the other one by `from_customer_id` or by `from_external_customer_id`: one of both.",
            "from_customer_id",
        ) from error
    merged = await parts.merging.merge(one, into, call.detail, body.reason)
    for customer in (one, into):
        await parts.history.everything_of(customer.customer_id)
    view = MergeView(
        customer=CustomerView.of(merged.customer, None),
        merged_customer_id=one.customer_id,
        transferred=[
            MergedCredit(transfer_id=each.transfer_id, unit=each.unit, amount=each.amount) for each in merged.brought
        ],
        keys_moved=merged.keys,
        complete=merged.complete,
    )
    return Given(view)


ENDPOINTS = (
    endpoint(
        "POST",
        f"{BY_ID}/merge",
        merge_customer,
        {200: "They are one."},
        Repeat.REQUIRED,
        scope=Scope.CUSTOMERS_WRITE,
    ),
)
