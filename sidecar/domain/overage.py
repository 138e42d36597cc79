"""What becomes of a request that its customer has not the credit for: refused, or served, and the rest is owed."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT


class OveragePolicy(StrEnum):
    """What is done when credit is short."""

    BLOCK = "block"
    ALLOW = "allow"
    """Served; what no block covers is held as overage, and owed once it is charged."""
    NOTIFY = "notify"
    """The same, for who wants to tell their customers."""


class Overage(msgspec.Struct, frozen=True):
    """A customer's policy in one unit. `limit`: most base units that it may owe; None: any amount."""

    policy: OveragePolicy
    limit: int | None = None

    @property
    def most(self) -> int:
        """How much may be owed."""
        if self.policy is OveragePolicy.BLOCK:
            return 0
        return MAX_AMOUNT if self.limit is None else self.limit


BLOCKED: Final = Overage(OveragePolicy.BLOCK)
"""The policy of who has none."""
NO_OVERAGE: Final[Mapping[str, Overage]] = MappingProxyType({})


def overage_of(policies: Mapping[str, Overage], unit: str) -> Overage:
    """The policy that holds in a unit."""
    return policies.get(unit, BLOCKED)
