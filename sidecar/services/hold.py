"""What is held for one request, as the process knows it. It holds and settles nothing: see `holds` and `settling`."""

import math
from typing import Protocol

import msgspec

from sidecar.domain.counters import Stand
from sidecar.domain.limits import Limit
from sidecar.domain.outcomes import Overrun
from sidecar.domain.usage_words import recorded
from sidecar.store.hold_record import HoldRecord


class Hold:
    """What is held for one request; while that runs, its upkeep may change all of it (see `upkeep`).

    `deadline` is on the monotonic clock: from then on the sweep may give the hold back. `stands` are where the
    counters that it claims of stood when it was taken, and `available` is what was left to its payer. `limited_key`:
    its proxy key may not do all that its customer may.
    """

    __slots__ = ("available", "deadline", "held", "limited_key", "limits", "record", "stands")

    def __init__(
        self,
        record: HoldRecord,
        deadline: float,
        stands: tuple[Stand, ...] = (),
        limits: tuple[tuple[Limit, int], ...] = (),
        available: int = 0,
        *,
        limited_key: bool = False,
    ) -> None:
        self.record = record
        self.deadline = deadline
        self.held = record.held
        self.stands = stands
        self.limits = limits
        self.available = available
        self.limited_key = limited_key

    @property
    def reservation_id(self) -> str:
        return self.record.reservation_id

    def correct_limits(self, usage: str) -> None:
        """What it takes of limits is what this usage says, once it is committed."""
        read = recorded(usage).usage
        self.record = msgspec.structs.replace(
            self.record, limits=tuple(each.corrected(read) for each in self.record.limits)
        )


class Purse(Protocol):
    """What one customer may spend while the store is away."""

    @property
    def paid_by(self) -> str:
        """The reservation that pays; empty: none does."""

    @property
    def overrun(self) -> Overrun:
        """What becomes of a charge that nothing is left for."""

    @property
    def word(self) -> str:
        """What the ledger says of it, behind the usage."""

    def spend(self, held: int, charge: int) -> None:
        """A request for which `held` was taken has ended, and costs `charge`."""

    def delivered(self, charge: int) -> None:
        """The store has charged it."""


class Bridged(Hold):
    """A hold that no store knows: the store did not answer, and `purse` pays, as it was at that time."""

    __slots__ = ("paid_by", "purse")

    def __init__(self, record: HoldRecord, purse: Purse) -> None:
        super().__init__(record, math.inf)
        self.purse = purse
        self.paid_by = purse.paid_by
