"""Amounts that depend on where a customer's counters stand: worked out where they stood last, again where they moved.

The store compares, it does not compute: it takes an amount with the range of positions for which it is right, and
answers where the counters are when that is somewhere else. Each process remembers what it has seen last, so that the
first try is nearly always right; of those that were not, one customer's take turns.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from sidecar.domain.counters import AT_ZERO, Advance, Counter, Stand
from sidecar.domain.errors import StoreUnavailable
from sidecar.domain.outcomes import CountersMoved, Overrun, Refused, Rejected, Resolved, Settled, UnknownReservation
from sidecar.domain.price_counted import CountedCharge
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import Ledger

REMEMBERED = 65_536
"""Most counters whose last stand is kept."""
TRIES = 100
"""After so many the customer's counters are called too busy; each means that another settlement came between."""

Stands = Mapping[str, Stand]
_H = TypeVar("_H")


class Claims(Protocol):
    """An amount that depends on where counters stand, and what may be counted by then."""

    @property
    def counters(self) -> tuple[Counter, ...]:
        """Those that it depends on."""

    def at(self, stands: Stands) -> tuple[int, tuple[Advance, ...]]:
        """The amount where counters with these keys stand, and for each of `counters` what it may count."""


class Counting:
    """Finds the amounts; shared by all requests of a process."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._seen: dict[tuple[str, str], Stand] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(
        self,
        customer_id: str,
        claims: Claims,
        ask: Callable[[int, tuple[Advance, ...]], Awaitable[_H | Refused | CountersMoved]],
    ) -> _H | Refused:
        """What `ask` answers for the amount that is right, or for one that is more and that fits.

        Raises what it raises, and StoreUnavailable when the counters never stand still.
        """
        amount, advances = claims.at(self._stands(customer_id, claims.counters))
        outcome = await ask(amount, advances)
        self._learn(customer_id, claims.counters, outcome)
        if not isinstance(outcome, CountersMoved):
            return outcome
        async with self._turn(customer_id):
            for _ in range(TRIES):
                before = amount
                amount, advances = claims.at(self._stands(customer_id, claims.counters))
                if outcome.refused is not None and amount >= before:
                    return outcome.refused
                outcome = await ask(amount, advances)
                self._learn(customer_id, claims.counters, outcome)
                if not isinstance(outcome, CountersMoved):
                    return outcome
        raise _busy(customer_id)

    async def commit(
        self, record: HoldRecord, charge: CountedCharge, usage: str, source: str, overrun: Overrun = Overrun.OWE
    ) -> Settled | UnknownReservation | Resolved | Rejected:
        """Charge what is right where the counters stand, and count it. StoreUnavailable: they never stand still."""
        outcome = await self._commit(record, charge, usage, source, overrun)
        if not isinstance(outcome, CountersMoved):
            return outcome
        async with self._turn(record.customer_id):
            for _ in range(TRIES):
                outcome = await self._commit(record, charge, usage, source, overrun)
                if not isinstance(outcome, CountersMoved):
                    return outcome
        raise _busy(record.customer_id)

    def as_it_stands(self, record: HoldRecord, charge: CountedCharge) -> tuple[int, tuple[Advance, ...]]:
        """What is right where the counters stood last, and what it counts, wherever they will be."""
        amount, advances = charge.at(self._stands(record.customer_id, [claim.counter for claim in record.claims]))
        return amount, tuple(Advance(advance.counter, advance.units) for advance in advances)

    async def _commit(
        self, record: HoldRecord, charge: CountedCharge, usage: str, source: str, overrun: Overrun
    ) -> Settled | UnknownReservation | Resolved | Rejected | CountersMoved:
        counters = [claim.counter for claim in record.claims]
        amount, advances = charge.at(self._stands(record.customer_id, counters))
        outcome = await self.ledger.commit_and_count(record, amount, usage, source, advances, overrun)
        self._learn(record.customer_id, counters, outcome)
        return outcome

    def _stands(self, customer_id: str, counters: Iterable[Counter]) -> Stands:
        return {counter.key: self._seen.get((customer_id, counter.key), AT_ZERO) for counter in counters}

    def _learn(self, customer_id: str, counters: Iterable[Counter], outcome: object) -> None:
        """What an answer says of the counters, if it says anything."""
        stands = getattr(outcome, "stands", ())
        if len(self._seen) + len(stands) > REMEMBERED:
            self._seen.clear()
        for counter, stand in zip(counters, stands, strict=False):
            self._seen[customer_id, counter.key] = stand

    def _turn(self, customer_id: str) -> asyncio.Lock:
        return self._turns.setdefault(customer_id, asyncio.Lock())


def _busy(customer_id: str) -> StoreUnavailable:
    return StoreUnavailable(f"The counters of {customer_id} moved {TRIES} times while an amount was worked out.")
