"""Serving requests while the store does not answer, where a rule says so: whoever may spend, and out of what.

Who was seen to have credit may go on up to that (`allow`), or out of credit that this process has on lease (`lease`).
Each charge is on the disk before its answer ends, and is delivered once when the store is back. Whom this process has
not seen lately, it serves to nobody.
"""

import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec

from sidecar.domain.errors import JournalFull, StoreTimeout, StoreUnavailable
from sidecar.domain.outcomes import Overrun, RefusalCode, Refused
from sidecar.domain.store_down import OnStoreDown, StoreDown
from sidecar.services.charges import Charge, charge_bridged
from sidecar.services.credit_leases import CreditLeases, LeaseTerms
from sidecar.services.hold import Bridged, Hold, Purse
from sidecar.services.settling import Ending, Settlement, Settling
from sidecar.services.spool import Spool
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import Ledger

KNOWN_MAX: Final = 10_000
"""Customers' credentials that are remembered; when that many are, those are forgotten that were not used longest."""
TRUSTED_S: Final = 3600.0
"""So long after it was seen to be good a credential is believed."""
TTL_MS: Final = 60_000
"""Said of holds that never were."""
_GONE = (RefusalCode.UNIDENTIFIED, RefusalCode.CUSTOMER_SUSPENDED)
_SHORT = (RefusalCode.HOLDS_IN_FLIGHT, RefusalCode.INSUFFICIENT_CREDITS, RefusalCode.POOL_CAP_REACHED)


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for credit, and for what."""

    customer_id: str
    credential: str
    unit: str
    feature: str
    rule: str
    rules_version: str


class Allowance:
    """What a customer was last seen to have in one unit, and what it spent since without the store."""

    paid_by = ""
    overrun = Overrun.OWE
    word = "enforced=false"

    def __init__(self) -> None:
        self.available = 0
        self.heard_at = 0.0
        self.since: float | None = None
        self.taken = 0
        """Held for requests that run, and charged for others, without the store's having heard of it."""

    def heard(self, available: int, now: float) -> None:
        """The store has answered."""
        self.available, self.heard_at = available, now
        if not self.taken:
            self.since = None

    def take(self, amount: int, policy: StoreDown, now: float) -> bool:
        """Whether `amount` may be spent."""
        since = now if self.since is None else self.since
        if since - self.heard_at > TRUSTED_S or now - since > policy.for_s:
            return False
        if self.taken + amount > min(self.available, policy.most):
            return False
        self.since, self.taken = since, self.taken + amount
        return True

    def spend(self, held: int, charge: int) -> None:
        self.taken += charge - held

    def delivered(self, charge: int) -> None:
        self.taken -= charge


class Bridging:
    """Shared by all requests of a process. Rules that deny do not come here."""

    def __init__(
        self,
        ledger: Ledger,
        settling: Settling,
        spool: Spool | None,
        *,
        next_id: Callable[[], str],
        give_back: Callable[[HoldRecord], None],
        now: Callable[[], float] = time.monotonic,
        lease_terms: LeaseTerms,
    ) -> None:
        """`give_back` releases what may have been reserved, though nobody knows."""
        self.leases = CreditLeases(ledger, next_id=next_id, give_back=give_back, now=now, terms=lease_terms)
        self._ledger = ledger
        self._settling = settling
        self._spool = spool
        self._next_id = next_id
        self._now = now
        # By customer and credential, the one that was heard of last at the end; then by unit.
        self._known: dict[tuple[str, str], dict[str, Allowance]] = {}
        self.requests: dict[str, int] = {OnStoreDown.ALLOW: 0, OnStoreDown.LEASE: 0}
        """Served without the store."""

    @property
    def bounds(self) -> dict[str, int]:
        """By unit, what was spent by allowance and is not charged yet: at most so much is beyond what there is."""
        bounds: dict[str, int] = {}
        for units in self._known.values():
            for unit, allowance in units.items():
                bounds[unit] = bounds.get(unit, 0) + allowance.taken
        return bounds

    async def take(
        self, asking: Asking, amount: int, policy: StoreDown, reserve: Callable[[], Awaitable[Hold | Refused]]
    ) -> Hold | Refused:
        """What `reserve` answers, or a hold of ours where the store does not answer and `policy` lets the request go.

        Raises what `reserve` does.
        """
        try:
            outcome = await reserve()
            if (
                isinstance(outcome, Refused)
                and outcome.code in _SHORT
                and await self.leases.give_up(asking.customer_id)
            ):
                # Its own lease may have been what it was short of.
                outcome = await reserve()
        except (StoreUnavailable, StoreTimeout) as error:
            bridged = None if isinstance(error, JournalFull) else self._bridge(asking, amount, policy)
            if bridged is None:
                raise
            return bridged
        self._heard(asking, outcome, policy)
        return outcome

    def settle(self, hold: Bridged, charge: int, usage: str, source: str) -> Coroutine[Any, Any, None]:
        """Charge it: on the disk at once, delivered when the store answers."""
        purse = hold.purse
        purse.spend(hold.held, charge)
        bridged = Charge(
            hold=hold.record,
            charge=charge,
            usage=f"{usage} {purse.word}".lstrip(),
            source=source,
            overrun=purse.overrun,
            bridged=True,
            paid_by=purse.paid_by,
        )

        async def attempt() -> Ending:
            outcome = await charge_bridged(bridged, self._ledger)
            purse.delivered(charge)
            return outcome

        return self._settling.settle_in_turn(Settlement(hold, charge, attempt, bridged=bridged))

    async def release(self, hold: Bridged) -> None:
        """It costs nothing, and nobody has heard of it."""
        hold.purse.spend(hold.held, 0)

    def _heard(self, asking: Asking, outcome: Hold | Refused, policy: StoreDown) -> None:
        who = asking.customer_id, asking.credential
        if isinstance(outcome, Refused):
            if outcome.code in _GONE:
                self._known.pop(who, None)
                self.leases.drop(*who)
            elif outcome.code in _SHORT and (allowance := self._known.get(who, {}).get(asking.unit)) is not None:
                allowance.heard(outcome.available, self._now())
            return
        if policy.way is OnStoreDown.LEASE:
            self.leases.used(asking.customer_id, asking.credential, asking.unit, asking.feature, outcome)
            return
        units = self._known[who] = self._known.pop(who, {})
        if len(self._known) > KNOWN_MAX:
            self._known.pop(next(iter(self._known)))
        allowance = units.get(asking.unit) or units.setdefault(asking.unit, Allowance())
        allowance.heard(outcome.available, self._now())

    def _bridge(self, asking: Asking, amount: int, policy: StoreDown) -> Bridged | None:
        if self._spool is None or self._spool.failing is not None:
            # A charge that cannot be kept could be lost.
            return None
        purse = self._purse(asking, amount, policy)
        if purse is None:
            return None
        self.requests[policy.way] += 1
        record = self._ledger.hold(
            asking.customer_id, self._next_id(), ((asking.unit, amount),), TTL_MS, asking.feature, asking.rule,
            rules_version=asking.rules_version, remember=True,
        )  # fmt: skip
        return Bridged(record, purse)

    def _purse(self, asking: Asking, amount: int, policy: StoreDown) -> Purse | None:
        if policy.way is OnStoreDown.LEASE:
            return self.leases.take(asking.customer_id, asking.credential, asking.unit, asking.feature, amount)
        allowance = self._known.get((asking.customer_id, asking.credential), {}).get(asking.unit)
        return allowance if allowance is not None and allowance.take(amount, policy, self._now()) else None


def _is_short(outcome: Hold | Refused) -> bool:
    return isinstance(outcome, Refused) and outcome.code in _SHORT
