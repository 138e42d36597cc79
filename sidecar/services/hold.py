"""What is held for one request, as the process knows it. It holds and settles nothing: see `holds` and `settling`."""

import msgspec

from sidecar.domain.counters import Stand
from sidecar.domain.limits import Limit
from sidecar.domain.usage_words import recorded
from sidecar.store.hold_record import HoldRecord


class Hold:
    """What is held for one request; while that runs, its upkeep may change all of it (see `upkeep`).

    `deadline` is on the monotonic clock: from then on the sweep may give the hold back. `stands` are where the
    counters that it claims of stood when it was taken.
    """

    __slots__ = ("deadline", "held", "limits", "record", "stands")

    def __init__(
        self,
        record: HoldRecord,
        deadline: float,
        stands: tuple[Stand, ...] = (),
        limits: tuple[tuple[Limit, int], ...] = (),
    ) -> None:
        self.record = record
        self.deadline = deadline
        self.held = record.held
        self.stands = stands
        self.limits = limits

    @property
    def reservation_id(self) -> str:
        return self.record.reservation_id

    def correct_limits(self, usage: str) -> None:
        """What it takes of limits is what this usage says, once it is committed."""
        read = recorded(usage).usage
        self.record = msgspec.structs.replace(
            self.record, limits=tuple(each.corrected(read) for each in self.record.limits)
        )
