"""Credit on lease: what a process holds of its active customers' credit in advance, to spend when the store is away.

A lease is a hold like any other, so that nobody else can spend what it holds: an outage makes nobody overspend. It is
as large as what the customer spent in the last seconds, at most a share of what it has; it is kept alive while the
customer asks, and given back when it does not, or when the customer is short of it.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from sidecar.domain.errors import StoreError, StoreTimeout
from sidecar.domain.outcomes import Overrun, Reserved
from sidecar.services.hold import Hold
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import Ledger

log = logging.getLogger("sidecar.leases")

RULE: Final = "(lease)"
"""What holds of leases have in place of a rule's name."""
TICK_S: Final = 1.0
LEASES_MAX: Final = 10_000
AT_ONCE: Final = 100
"""So many leases are looked after at a time: a few milliseconds of the store."""
_SMOOTHING: Final = 0.2
_GROW_AT: Final = 1.25
"""A lease grows when it should be larger by this factor, so that it does not for every request."""


class LeaseTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How leases are made: for `ahead_s` of a customer's recent spend, at most `share` of what it has.

    Without use one is given back after `idle_s`; one whose process dies comes back after `ttl_s`. A lease is spent
    only in the first four fifths of its life, so that its charges arrive while it is still held.
    """

    ahead_s: float = 30.0
    share: float = 0.05
    idle_s: float = 60.0
    ttl_s: float = 600.0

    @property
    def margin_s(self) -> float:
        return self.ttl_s / 5


USUAL: Final = LeaseTerms()


class Lease:
    """What one customer has on lease here, in one unit, for one feature."""

    overrun = Overrun.CAP
    """Nobody ever owes for what was spent from it."""
    word = "paid_by=lease"

    def __init__(self) -> None:
        self.record: HoldRecord | None = None
        self.deadline = 0.0
        """On the monotonic clock: from then on the store may give it back."""
        self.left = 0
        self.taken = 0
        """Held for requests that run, and charged for others, without the store's having heard of it."""
        self.recent = 0
        self.rate = 0.0
        """Held for requests since the last tick; and what comes of it each second, smoothed."""
        self.largest = 0
        self.available = 0
        self.used_at = 0.0
        self.busy = False

    @property
    def paid_by(self) -> str:
        return self.record.reservation_id if self.record is not None else ""

    def spend(self, held: int, charge: int) -> None:
        self.left += held - charge
        self.taken += charge - held

    def delivered(self, charge: int) -> None:
        self.taken -= charge

    def gone(self) -> None:
        """The store has given it back, or is about to."""
        self.record, self.left = None, 0


class CreditLeases:
    """`used` and `take` for requests; `run` keeps leases as they should be."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        next_id: Callable[[], str],
        give_back: Callable[[HoldRecord], None],
        now: Callable[[], float],
        terms: LeaseTerms,
    ) -> None:
        self.terms = terms
        self._ledger = ledger
        self._next_id = next_id
        self._give_back = give_back
        self._now = now
        self._leases: dict[tuple[str, str, str, str], Lease] = {}
        self.lost_total = 0
        """Leases that the store gave back while we believed to have them."""

    @property
    def open(self) -> int:
        return sum(lease.record is not None for lease in self._leases.values())

    @property
    def held(self) -> dict[str, int]:
        """By unit, what may be spent without the store."""
        held: dict[str, int] = {}
        for (_, _, unit, _), lease in self._leases.items():
            held[unit] = held.get(unit, 0) + max(lease.left, 0)
        return held

    def used(self, customer_id: str, credential: str, unit: str, feature: str, hold: Hold) -> None:
        """The customer has got a hold by the store: it should have a lease as well."""
        key = customer_id, credential, unit, feature
        lease = self._leases.get(key)
        if lease is None:
            if len(self._leases) >= LEASES_MAX:
                return
            lease = self._leases[key] = Lease()
        lease.recent += hold.held
        lease.largest = max(lease.largest, hold.held)
        lease.available = hold.available
        lease.used_at = self._now()

    def take(self, customer_id: str, credential: str, unit: str, feature: str, amount: int) -> Lease | None:
        """The lease that pays `amount`; None: there is none, or not so much."""
        lease = self._leases.get((customer_id, credential, unit, feature))
        if lease is None or lease.busy or lease.left < amount:
            return None
        if self._now() > lease.deadline - self.terms.margin_s:
            return None
        lease.left -= amount
        lease.taken += amount
        return lease

    def drop(self, customer_id: str, credential: str) -> None:
        """The customer may not spend any more: nothing is taken from its leases, which end by themselves."""
        for key in [key for key in self._leases if key[:2] == (customer_id, credential)]:
            lease = self._leases.pop(key)
            if lease.record is not None and not lease.taken:
                self._give_back(lease.record)

    async def give_up(self, customer_id: str) -> bool:
        """Give the customer's leases back that nothing is taken of; whether any was."""
        mine = [lease for key, lease in self._leases.items() if key[0] == customer_id]
        return any([await self._release(lease) for lease in mine])

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.look_after()

    async def look_after(self) -> None:
        """Take, lengthen, grow and give back what should be."""
        leases = list(self._leases.items())
        for start in range(0, len(leases), AT_ONCE):
            await asyncio.gather(*(self._look_after(key, lease) for key, lease in leases[start : start + AT_ONCE]))

    async def close(self) -> None:
        """Give all back that nothing is taken of."""
        for lease in list(self._leases.values()):
            await self._release(lease)
        self._leases.clear()

    async def _look_after(self, key: tuple[str, str, str, str], lease: Lease) -> None:
        lease.rate += _SMOOTHING * (lease.recent / TICK_S - lease.rate)
        lease.recent = 0
        if lease.busy:
            return
        try:
            if self._now() - lease.used_at > self.terms.idle_s:
                if not lease.taken:
                    await self._release(lease)
                    self._leases.pop(key, None)
            elif lease.record is None:
                await self._begin(key, lease)
            else:
                await self._go_on(lease)
        except StoreError as error:
            log.debug("the lease of %s stays as it is: %s", key[0], error.detail)

    def _wanted(self, lease: Lease) -> int:
        most = int(self.terms.share * (lease.available + lease.left))
        return min(max(round(lease.rate * self.terms.ahead_s), lease.largest), most)

    async def _begin(self, key: tuple[str, str, str, str], lease: Lease) -> None:
        customer_id, credential, unit, feature = key
        amount = self._wanted(lease)
        if amount <= 0 or lease.taken:
            return
        ttl_ms = round(self.terms.ttl_s * 1000)
        record = self._ledger.hold(customer_id, self._next_id(), ((unit, amount),), ttl_ms, feature, RULE)
        deadline = self._now() + self.terms.ttl_s
        try:
            outcome = await self._ledger.reserve(record, credential)
        except StoreTimeout:
            self._give_back(record)
            raise
        if not isinstance(outcome, Reserved):
            return
        if key in self._leases:
            lease.record, lease.deadline, lease.left = record, deadline, amount
        else:
            self._give_back(record)

    async def _go_on(self, lease: Lease) -> None:
        """Lengthen its life when a third of it is over, and let it grow; not while its amount is not certain."""
        record, now = lease.record, self._now()
        assert record is not None
        wanted = 0 if lease.taken else self._wanted(lease)
        grows = wanted > lease.left * _GROW_AT
        if not grows and lease.deadline - now > self.terms.ttl_s * 2 / 3:
            return
        if grows:
            # Nothing is taken of it while the store may be making it larger.
            lease.busy = True
        try:
            outcome = await self._ledger.resize(record, [wanted if grows else 0], round(self.terms.ttl_s * 1000))
        finally:
            lease.busy = False
        if isinstance(outcome, Reserved):
            lease.deadline = now + self.terms.ttl_s
            if grows:
                lease.left = outcome.held
        elif lease.record is record and not grows:
            self.lost_total += 1
            log.warning("the lease %s has ended before we gave it back", record.reservation_id)
            lease.gone()

    async def _release(self, lease: Lease) -> bool:
        if lease.record is None or lease.taken or lease.busy:
            return False
        record = lease.record
        lease.gone()
        try:
            await self._ledger.release(record, "the lease is not needed any more")
        except StoreError as error:
            log.debug("the lease %s is given back later: %s", record.reservation_id, error.detail)
            self._give_back(record)
            return False
        return True
