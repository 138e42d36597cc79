"""A charge as it can be kept and delivered by whoever comes to it: with all that the store must be told."""

import msgspec

from sidecar.domain.counters import Advance
from sidecar.domain.errors import Conflict
from sidecar.domain.outcomes import CountersMoved, Overrun, Rejected, Resolved, Settled, UnknownReservation
from sidecar.domain.price_counted import CountedCharge
from sidecar.services.counting import Counting
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import CommitTerms, Ledger, PaidBy


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """A charge to be delivered. What counts over periods is fixed to where the counters stood when it was kept."""

    hold: HoldRecord
    charge: int
    usage: str
    source: str
    advances: tuple[Advance, ...] = ()
    overrun: Overrun = Overrun.OWE
    may_be_done: bool = False
    bridged: bool = False
    """Nothing was held for it: the store was away."""
    paid_by: str = ""
    """Another reservation that pays for what was bridged."""
    token: str = ""
    """Says that the hold was taken, whatever the store knows of it."""


Told = tuple[str, str, CountedCharge | None, Overrun]
"""Usage, source, how the amount depends on counters, and what becomes of a cost that nothing is left for."""


def charge_of(record: HoldRecord, amount: int, told: Told, counting: Counting, *, may_be_done: bool) -> Charge:
    """What is to be kept of a commit. `may_be_done`: an attempt was made whose effect is unknown."""
    usage, source, counted, overrun = told
    advances: tuple[Advance, ...] = ()
    if counted is not None:
        amount, advances = counting.as_it_stands(record, counted)
    return Charge(
        hold=record,
        charge=amount,
        usage=usage,
        source=source,
        advances=advances,
        overrun=overrun,
        may_be_done=may_be_done,
    )


async def deliver(
    charge: Charge, ledger: Ledger
) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
    """Charge it; safe to repeat. Raises as the ledger does."""
    if charge.bridged:
        return await charge_bridged(charge, ledger)
    hold = charge.hold
    if hold.claims:
        return await ledger.commit_and_count(hold, charge.charge, charge.usage, charge.source, charge.advances)
    terms = CommitTerms(overrun=charge.overrun)
    return await ledger.commit(hold, charge.charge, charge.usage, charge.source, terms)


async def charge_bridged(charge: Charge, ledger: Ledger) -> Settled | UnknownReservation | Resolved | Rejected:
    """The same, of one that nothing was held for. Raises Conflict when nobody can be found who pays."""
    hold = charge.hold
    for _ in range(2):
        outcome = await ledger.charge(
            hold, charge.charge, charge.usage, charge.source, overrun=charge.overrun, paid_by=charge.paid_by
        )
        if not isinstance(outcome, PaidBy):
            return outcome
        hold = msgspec.structs.replace(hold, payer_id=outcome.payer_id)
    raise Conflict(f"{hold.customer_id} is a member of the pool of {hold.payer_id}, which is one of another.")
