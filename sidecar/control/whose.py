"""Whose something is, where the body says it and not the path: exactly one of both ids."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from sidecar.control.endpoint import Parts
from sidecar.control.schema import Asked
from sidecar.domain.customers import Customer
from sidecar.domain.errors import InvalidInput, MergedInto, NotFound


class Whose(Asked, frozen=True, kw_only=True):
    """Base of bodies that name their customer."""

    customer_id: Annotated[str, Meta(max_length=64, description="Our id; or `external_customer_id`.")] | UnsetType = (
        UNSET
    )
    external_customer_id: Annotated[str, Meta(max_length=255, description="Your id of the customer.")] | UnsetType = (
        UNSET
    )


async def customer_of(parts: Parts, whose: Whose, *, make: bool = False, merged: bool = False) -> Customer:
    """The customer that a body names; with `make` it is made, if its external id is nobody's.

    InvalidInput unless the body has exactly one id, NotFound; MergedInto for who is another now, unless `merged`.
    """
    found = await _customer_of(parts, whose, make=make)
    if found.merged_into is not None and not merged:
        raise MergedInto(found.customer_id, found.merged_into)
    return found


async def _customer_of(parts: Parts, whose: Whose, *, make: bool) -> Customer:
    ours, theirs = whose.customer_id, whose.external_customer_id
    if isinstance(ours, str) == isinstance(theirs, str):
        raise InvalidInput("Say who it is by `customer_id` or by `external_customer_id`: one of both.", "customer_id")
    if isinstance(ours, str):
        return await parts.customers.get(ours)
    assert isinstance(theirs, str), "one of both is there"
    return await named(parts, theirs, make=make)


async def named(parts: Parts, external_id: str, *, make: bool) -> Customer:
    """The customer that has this external id; with `make` it is made, if nobody has it. NotFound without.

    Of many that come first at once, one makes it.
    """
    if (found := await parts.customers.find(external_id)) is not None:
        return found
    if not make:
        raise NotFound(f"There is no customer with the external id {external_id!r}; POST /v1/customers makes one.")
    made, _ = await parts.customers.create(external_id=external_id, now_ms=parts.now_ms())
    return made
