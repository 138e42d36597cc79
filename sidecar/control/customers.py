"""Customers: make one, find some, look at one, change it, give it another external id, forget who it was."""

import asyncio

from msgspec import UNSET
from msgspec.structs import replace

from sidecar.control.customer_schema import (
    CreateCustomer,
    CustomerPage,
    CustomersQuery,
    CustomerView,
    RenameCustomer,
    UpdateCustomer,
)
from sidecar.control.endpoint import BY_ID, Call, Given, Parts, Repeat, endpoint
from sidecar.control.schema import Nothing, Pagination
from sidecar.domain.customers import Customer, Status, checked_metadata, checked_name
from sidecar.domain.errors import InvalidInput, NotFound
from sidecar.domain.history import CustomerFilter
from sidecar.domain.scopes import Scope


async def create_customer(call: Call[CreateCustomer, Nothing]) -> Given[CustomerView]:
    """Make a customer, or find the one that has this external id.

    A customer that is found is answered with 200 and stays as it is. With a parent it is a member of that customer's
    pool for ever: what it does is paid from the parent's credit.
    """
    customer, created = await call.parts.customers.create(
        external_id=call.body.external_id,
        display_name=call.body.display_name,
        metadata=call.body.metadata,
        now_ms=call.parts.now_ms(),
        parent_id=await _parent_id(call.parts, call.body),
    )
    return await _given(call.parts, customer, 201 if created else 200)


async def list_customers(call: Call[Nothing, CustomersQuery]) -> Given[CustomerPage]:
    """List customers, or those that are looked for, the newest first.

    It has every customer that was made, as it was when it was asked.
    """
    query, parts = call.query, call.parts
    wanted = CustomerFilter(
        status=None if query.status is UNSET else query.status,
        parent_id=None if query.parent_customer_id is UNSET else query.parent_customer_id,
        external_id_prefix=query.external_id_prefix,
        words=query.search,
        metadata=None if query.metadata is UNSET else _name_and_value(query.metadata),
    )
    cursor = None if query.cursor is UNSET else query.cursor
    page = await parts.history.customers(wanted, cursor, query.limit)
    parent_ids = sorted({each.parent_id for each in page.items if each.parent_id is not None})
    parents = dict(zip(parent_ids, await asyncio.gather(*map(parts.customers.get, parent_ids)), strict=True))
    views = [CustomerView.of(each, parents.get(each.parent_id or "")) for each in page.items]
    return Given(CustomerPage(data=views, pagination=Pagination.of(page.next_cursor)))


async def show_customer(call: Call[Nothing, Nothing]) -> Given[CustomerView]:
    """Look at a customer."""
    return await _given(call.parts, call.customer)


async def update_customer(call: Call[UpdateCustomer, Nothing]) -> Given[CustomerView]:
    """Change a customer's name, status or metadata.

    A customer that is suspended is refused everywhere from this moment on; requests under way are finished and
    charged.
    """
    body = call.body

    def change(customer: Customer) -> Customer:
        return replace(
            customer,
            display_name=customer.display_name
            if body.display_name is UNSET
            else checked_name(body.display_name, "display_name"),
            status=customer.status if body.status is UNSET else body.status,
            metadata=checked_metadata(body.applied_to(customer.metadata)),
        )

    customer_id = call.customer.customer_id
    return await _given(call.parts, await call.parts.customers.update(customer_id, change, expected=call.expected))


async def rename_customer(call: Call[RenameCustomer, Nothing]) -> Given[CustomerView]:
    """Give a customer another external id; the old one is free for others from then on.

    Its id, credit, keys and history stay. A trusted front that names it has to use the new one.
    """
    customers, customer_id = call.parts.customers, call.customer.customer_id
    return await _given(
        call.parts, await customers.rename(customer_id, call.body.external_id, expected=call.expected)
    )


async def anonymise_customer(call: Call[Nothing, Nothing]) -> Given[CustomerView]:
    """Forget who a customer was: for ever.

    Its external id becomes `anonymised:` and its id, name and metadata go, its proxy keys are revoked, and it is
    suspended. Its credit and its ledger stay, which name it by its id alone.
    """
    customers, customer_id = call.parts.customers, call.customer.customer_id
    for key in await customers.keys(customer_id):
        await customers.revoke_key(customer_id, key.key_id)
    known = await customers.get(customer_id)
    await customers.update(customer_id, _forgotten, expected=call.expected)
    for alias in known.aliases:
        await customers.release(alias, customer_id)
    return await _given(call.parts, await customers.rename(customer_id, f"anonymised:{customer_id}"))


def _forgotten(customer: Customer) -> Customer:
    return replace(customer, display_name="", metadata={}, aliases=(), status=Status.SUSPENDED)


def _name_and_value(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InvalidInput(
            "metadata must be a name and its value with a colon between them: `tier:gold`.", "metadata"
        )
    return name, value


async def _parent_id(parts: Parts, wanted: CreateCustomer) -> str | None:
    if wanted.parent_customer_id is not None and wanted.parent_external_id is not None:
        raise InvalidInput("Give parent_customer_id or parent_external_id, not both.", "parent_external_id")
    if wanted.parent_external_id is None:
        return wanted.parent_customer_id
    if (found := await parts.customers.find(wanted.parent_external_id)) is None:
        raise NotFound("There is no customer with the external id of the parent; make the parent first.")
    return found.customer_id


async def _given(parts: Parts, customer: Customer, status: int = 200) -> Given[CustomerView]:
    parent = None if customer.parent_id is None else await parts.customers.get(customer.parent_id)
    return Given(CustomerView.of(customer, parent), status, version=customer.version)


ENDPOINTS = (
    endpoint(
        "POST",
        "/v1/customers",
        create_customer,
        {201: "The customer was made.", 200: "The customer was there already."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint("GET", "/v1/customers", list_customers, {200: "One page of customers."}, scope=Scope.CUSTOMERS_READ),
    endpoint("GET", BY_ID, show_customer, {200: "The customer."}, scope=Scope.CUSTOMERS_READ, versioned=True),
    endpoint(
        "PATCH",
        BY_ID,
        update_customer,
        {200: "The customer as it is now."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint(
        "POST",
        f"{BY_ID}/rename",
        rename_customer,
        {200: "The customer as it is now."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
    endpoint(
        "POST",
        f"{BY_ID}/anonymise",
        anonymise_customer,
        {200: "The customer as it is now."},
        Repeat.RECORDED,
        scope=Scope.CUSTOMERS_WRITE,
        versioned=True,
    ),
)
