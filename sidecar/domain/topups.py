"""Top-ups: credit that somebody has paid for, and the packages in which it is sold.

A top-up is known by an id that says whose block it made, so that nobody has to look for it.
"""

import re
from typing import NamedTuple

import msgspec

from sidecar.domain.blocks import Grant
from sidecar.domain.errors import Conflict, InvalidInput, NotFound
from sidecar.domain.ids import is_customer_id

TOPUP = "topup"
"""Where the credit of a top-up comes from."""
PACKAGE = "topup_package"
"""The kind of packages among the operator's documents."""
_ID = re.compile(r"top_([0-9a-z]{26})([0-9a-z]{26})\Z", re.ASCII)


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """So much for a price. Amounts are base units; the price is in the currency's smallest unit."""

    name: str = ""
    unit: str
    credits: int
    bonus_credits: int = 0
    """Comes with it, free."""
    price: int
    currency: str
    expires_after_s: int | None = None
    """None: never."""
    priority: int = 0
    active: bool = True
    """Whether it can be bought."""
    metadata: dict[str, str] = {}


class Bought(NamedTuple):
    """Whose block a top-up made."""

    customer_id: str
    block_id: str


def topup_id(customer_id: str, block_id: str) -> str:
    return f"top_{customer_id.partition('_')[2]}{block_id.partition('_')[2]}"


def bought(text: str) -> Bought:
    """What a top-up's id says. Raises NotFound for what is none."""
    match = _ID.match(text)
    if match is None or not is_customer_id(f"cus_{match[1]}"):
        raise NotFound("There is no such top-up; its id looks like top_01jd….")
    return Bought(f"cus_{match[1]}", f"blk_{match[2]}")


def is_topup(grant: Grant) -> bool:
    """Whether it is the block of a top-up itself: not its bonus, nor what somebody gave of one."""
    return grant.source == TOPUP and grant.bonus_of is None and grant.transfer is None


def checked_package(package: Package | None, package_id: str, *, unit: str, amount: int | None) -> Package:
    """The package that is bought. NotFound; Conflict if it is not sold; InvalidInput if it has another amount."""
    if package is None:
        raise NotFound(f"There is no top-up package {package_id}.")
    if not package.active:
        raise Conflict(f"The top-up package {package_id} is not sold any more.")
    if package.unit != unit:
        raise InvalidInput(f"The top-up package {package_id} is of {package.unit}, not of {unit}.", "unit")
    if amount is not None and amount != package.credits:
        raise InvalidInput(
            f"The top-up package {package_id} has {package.credits} base units; leave credits out.", "credits"
        )
    return package
