"""What a long request has used is charged now and then, each step once and in order; the rest stays held.

So a process that dies takes little with it. A step whose effect is unknown stands in the way of all that follows, and
is sent again as it was: the store counts steps.
"""

import msgspec

from sidecar.domain.outcomes import Overrun, Settled
from sidecar.services.hold import Hold
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import CommitTerms, Ledger


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, as it is sent however often. `record` is the hold as it was then."""

    record: HoldRecord
    number: int
    cost: int
    usage: str
    source: str


class Steps:
    """The steps of one hold, which it makes smaller."""

    __slots__ = ("_hold", "charged", "lost", "number", "pending")

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self.number = 0
        self.charged = 0
        """By those that the store has acknowledged."""
        self.lost = 0
        """What was promised at the end, and could not be charged."""
        self.pending: Step | None = None

    @property
    def promised(self) -> int:
        """What need not be charged in the end, if the store knows the hold."""
        return self.charged + (self.pending.cost if self.pending is not None else 0)

    def begin(self, cost: int, usage: str, source: str) -> None:
        """Let the next step be one of `cost`, which is held; then `deliver` it."""
        assert self.pending is None
        self.number += 1
        self.pending = Step(record=self._hold.record, number=self.number, cost=cost, usage=usage, source=source)

    async def deliver(self, ledger: Ledger) -> int:
        """Charge what is pending; what was promised and cannot be, since the store does not know the hold any more.

        StoreError: it is pending still.
        """
        step = self.pending
        if step is None:
            return 0
        terms = CommitTerms(step=step.number, overrun=Overrun.CAP)
        outcome = await ledger.commit(step.record, step.cost, step.usage, step.source, terms)
        if self.pending is not step:
            # It was sent twice at a time; the other reply has been counted.
            return 0
        self.pending = None
        if not isinstance(outcome, Settled):
            return step.cost
        self.charged += step.cost
        self._hold.held = max(self._hold.held - step.cost, 0)
        return 0
