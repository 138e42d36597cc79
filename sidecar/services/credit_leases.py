"""Credit on lease: what a process holds of its active customers' credit in advance, to spend when the store is away.

A lease is a hold like any other, so that nobody else can spend what it holds: an outage makes nobody overspend. It is
as large as what the customer spent in the last seconds, at most a share of what it has; it is kept alive while the
customer asks, and given back when it does not, or when its payer is short of credit.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import msgspec

from sidecar.domain.errors import StoreError, StoreTimeout
from sidecar.domain.outcomes import Overrun, RefusalCode, Refused, Reserved
from sidecar.services.hold import Hold
from sidecar.services.seen import Seen
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import Ledger

log = logging.getLogger("sidecar.leases")

RULE: Final = "(lease)"
"""What holds of leases have in place of a rule's name."""
TICK_S: Final = 1.0
CUSTOMERS_MAX: Final = 10_000
"""So many have leases."""
AT_ONCE: Final = 100
"""So many leases are looked after at a time: a few milliseconds of the store."""
_SMOOTHING: Final = 0.2
_GROW_AT: Final = 1.25
_SHRINK_AT: Final = 4.0
"""A lease changes when it is too small or too large by these factors, so that it does not for every request."""
AskOthers = Callable[[str, str], Awaitable[bool]]
"""Payer id, unit."""
_GIVEN_UP_S: Final = 1.0
_FOR_WHAT_IS_HELD = (RefusalCode.HOLDS_IN_FLIGHT, RefusalCode.POOL_CAP_REACHED, RefusalCode.SPEND_CAP_REACHED)


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
What = tuple[str, str]
"""Unit and feature."""


class Lease:
    """What one customer has on lease here, in one unit, for one feature, whichever of its credentials it uses."""

    overrun = Overrun.CAP
    """Nobody ever owes for what was spent from it."""
    word = "paid_by=lease"

    def __init__(self, customer_id: str, what: What, spent: Counter[str]) -> None:
        self.customer_id = customer_id
        self.what = what
        self.credential = ""
        """The one that was used last."""
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
        self._spent = spent

    @property
    def unit(self) -> str:
        return self.what[0]

    @property
    def paid_by(self) -> str:
        return self.record.reservation_id if self.record is not None else ""

    def spend(self, held: int, charge: int) -> None:
        self.left += held - charge
        self.taken += charge - held

    def delivered(self, charge: int) -> None:
        self.taken -= charge
        self._spent[self.unit] += charge


class _Customer:
    """Its credentials, and its leases."""

    __slots__ = ("leases", "seen")

    def __init__(self) -> None:
        self.seen = Seen()
        self.leases: dict[What, Lease] = {}


class CreditLeases:
    """`used` and `take` for requests; `run` keeps leases as they should be."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        next_id: Callable[[], str],
        give_back: Callable[[HoldRecord], None],
        away: Callable[[], bool],
        now: Callable[[], float],
        terms: LeaseTerms,
    ) -> None:
        """`give_back` releases in the background, until the store has acknowledged it; `away`: it would not, now."""
        self.terms = terms
        self._away = away
        self._ledger = ledger
        self._next_id = next_id
        self._give_back = give_back
        self._now = now
        self._customers: dict[str, _Customer] = {}
        # Those that hold something, by who pays; and when a payer's were last given back because it was short.
        self._by_payer: dict[str, set[Lease]] = {}
        self._given_up: dict[str, float] = {}
        self.ask_others: AskOthers | None = None
        """Lets other processes give theirs back, too; whether they were asked."""
        self.spent: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        """By unit, what was charged to leases, and what of them was given back."""
        self.lost_total = 0
        """Leases that the store gave back while we believed to have them."""

    @property
    def open(self) -> int:
        return sum(map(len, self._by_payer.values()))

    @property
    def held(self) -> dict[str, int]:
        """By unit, what may be spent without the store."""
        held: dict[str, int] = {}
        for lease in self._all():
            left = lease.left if lease.record is not None else 0
            held[lease.unit] = held.get(lease.unit, 0) + max(left, 0)
        return held

    def used(self, customer_id: str, credential: str, unit: str, feature: str, hold: Hold) -> None:
        """The customer has got a hold by the store: it should have a lease as well."""
        customer = self._customers.get(customer_id)
        if customer is None:
            if len(self._customers) >= CUSTOMERS_MAX:
                return
            customer = self._customers[customer_id] = _Customer()
        lease = customer.leases.get((unit, feature))
        if lease is None:
            what = unit, feature
            lease = customer.leases[what] = Lease(customer_id, what, self.spent)
        now = self._now()
        customer.seen.good(credential, now)
        lease.credential = credential
        lease.recent += hold.held
        lease.largest = max(lease.largest, hold.held)
        lease.available = hold.available
        lease.used_at = now

    def take(self, customer_id: str, credential: str, unit: str, feature: str, amount: int) -> Lease | None:
        """The lease that pays `amount`; None: there is none, or not so much."""
        customer = self._customers.get(customer_id)
        lease = customer.leases.get((unit, feature)) if customer is not None else None
        if customer is None or lease is None or lease.record is None or lease.left < amount:
            return None
        if not customer.seen.trusts(credential, lease.used_at) or self._now() > lease.deadline - self.terms.margin_s:
            return None
        lease.left -= amount
        lease.taken += amount
        return lease

    def revoked(self, customer_id: str, credential: str) -> None:
        """The store does not take this credential."""
        customer = self._customers.get(customer_id)
        if customer is not None:
            customer.seen.bad(credential)
            if not customer.seen:
                self.suspended(customer_id)

    def suspended(self, customer_id: str) -> None:
        """The customer may not spend any more: what nothing is taken of is given back, the rest ends by itself."""
        customer = self._customers.pop(customer_id, None)
        for lease in customer.leases.values() if customer is not None else ():
            record = self._gone(lease)
            if record is not None and not lease.taken:
                self._give_back(record)

    async def made_room(self, refused: Refused, payer_id: str, unit: str) -> bool:
        """Whether a request that was refused so may fit now, because leases were given back."""
        if refused.code not in _FOR_WHAT_IS_HELD:
            return False
        made = await self.give_up(payer_id, unit)
        if self.ask_others is not None and refused.held > 0:
            made = await self.ask_others(payer_id, unit) or made
        return made

    async def give_up(self, payer_id: str, unit: str) -> bool:
        """The payer is short: give back its leases that nothing is taken of; whether any were, now or just before."""
        leases = [lease for lease in self._by_payer.get(payer_id, ()) if lease.unit == unit and not lease.taken]
        now = self._now()
        if leases:
            self._given_up[payer_id] = now
            for lease in leases:
                # What it had is not there any more; the next request will say what is.
                lease.available = 0
            await asyncio.gather(*map(self._release, leases))
        return self._given_up.get(payer_id, -_GIVEN_UP_S) >= now - _GIVEN_UP_S

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.look_after()

    async def look_after(self) -> None:
        """Take, lengthen, grow, make smaller and give back what should be, unless the store is away."""
        if self._away():
            # Who does not ask in the first minute of an outage may do so in the second.
            return
        now = self._now()
        self._given_up = {payer: at for payer, at in self._given_up.items() if at >= now - _GIVEN_UP_S}
        due = [lease for lease in self._all() if self._is_due(lease, now)]
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(*map(self._look_after, due[start : start + AT_ONCE]))

    async def close(self) -> None:
        """Give all back that nothing is taken of. Once the store does not answer, the others end by themselves."""
        leases = [lease for lease in self._all() if not lease.taken]
        self._customers.clear()
        for start in range(0, len(leases), AT_ONCE):
            if not all(await asyncio.gather(*map(self._release, leases[start : start + AT_ONCE]))):
                return

    def _all(self) -> Iterator[Lease]:
        return (lease for customer in self._customers.values() for lease in customer.leases.values())

    def _is_due(self, lease: Lease, now: float) -> bool:
        """Whether there is something to do for it. Called once in a tick."""
        lease.rate += _SMOOTHING * (lease.recent / TICK_S - lease.rate)
        lease.recent = 0
        if lease.record is None or now - lease.used_at > self.terms.idle_s:
            return not lease.taken
        return self._wrong_size(lease) or lease.deadline - now <= self.terms.ttl_s * 2 / 3

    def _wrong_size(self, lease: Lease) -> bool:
        """Not while its amount is not certain."""
        wanted = self._wanted(lease)
        return not lease.taken and (wanted > lease.left * _GROW_AT or 0 < wanted * _SHRINK_AT < lease.left)

    def _wanted(self, lease: Lease) -> int:
        most = int(self.terms.share * (lease.available + max(lease.left, 0)))
        return min(max(round(lease.rate * self.terms.ahead_s), lease.largest), most)

    async def _look_after(self, lease: Lease) -> None:
        try:
            if self._now() - lease.used_at > self.terms.idle_s:
                if not lease.taken and await self._release(lease):
                    self._forget(lease)
            elif lease.record is None or (self._wrong_size(lease) and self._wanted(lease) < lease.left):
                await self._begin(lease)
            else:
                await self._go_on(lease, lease.record)
        except StoreError as error:
            log.debug("the lease of %s stays as it is: %s", lease.customer_id, error.detail)

    async def _begin(self, lease: Lease) -> None:
        """Take a lease; in place of the one that there is, if any."""
        amount = self._wanted(lease)
        if amount <= 0:
            return
        unit, feature = lease.what
        ttl_ms = round(self.terms.ttl_s * 1000)
        record = self._ledger.hold(lease.customer_id, self._next_id(), ((unit, amount),), ttl_ms, feature, RULE)
        deadline = self._now() + self.terms.ttl_s
        try:
            outcome = await self._ledger.reserve(record, lease.credential)
        except StoreTimeout:
            self._give_back(record)
            raise
        if not isinstance(outcome, Reserved):
            return
        customer = self._customers.get(lease.customer_id)
        if lease.taken or customer is None or customer.leases.get(lease.what) is not lease:
            self._give_back(record)
            return
        before = self._gone(lease)
        if before is not None:
            self._give_back(before)
        lease.record, lease.deadline, lease.left = record, deadline, amount
        self._by_payer.setdefault(record.payer_id, set()).add(lease)

    async def _go_on(self, lease: Lease, record: HoldRecord) -> None:
        """Lengthen its life, and let it grow."""
        now, before = self._now(), max(lease.left, 0)
        wanted = self._wanted(lease) if self._wrong_size(lease) else 0
        ttl_ms = round(self.terms.ttl_s * 1000)
        if wanted:
            # What it could not pay was not taken of it.
            lease.left = before
        outcome = await self._ledger.resize(record, [wanted], ttl_ms)
        if wanted and isinstance(outcome, Refused):
            wanted, outcome = 0, await self._ledger.resize(record, [0], ttl_ms)
        if lease.record is not record:
            # It was given back meanwhile.
            return
        if isinstance(outcome, Reserved):
            lease.deadline = now + self.terms.ttl_s
            if wanted:
                lease.left += max(outcome.held - before, 0)
        else:
            self.lost_total += 1
            log.warning("the lease %s has ended before we gave it back", record.reservation_id)
            self._gone(lease)

    async def _release(self, lease: Lease) -> bool:
        """Give it back; False: the store does not answer, and it will be given back later."""
        left, record = lease.left, self._gone(lease)
        if record is None:
            return True
        try:
            await self._ledger.release(record, "the lease is not needed any more")
        except StoreError as error:
            log.debug("the lease %s is given back later: %s", record.reservation_id, error.detail)
            self._give_back(record)
            return False
        self.returned[lease.unit] += max(left, 0)
        return True

    def _gone(self, lease: Lease) -> HoldRecord | None:
        """Nothing is spent of it any more. What it was."""
        record = lease.record
        lease.record, lease.left = None, 0
        if record is not None:
            leases = self._by_payer[record.payer_id]
            leases.discard(lease)
            if not leases:
                del self._by_payer[record.payer_id]
        return record

    def _forget(self, lease: Lease) -> None:
        customer = self._customers.get(lease.customer_id)
        if customer is None or customer.leases.get(lease.what) is not lease:
            return
        del customer.leases[lease.what]
        if not customer.leases:
            del self._customers[lease.customer_id]
