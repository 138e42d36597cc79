"""Serving requests while the store does not answer, where a rule says so: whoever may spend, and out of what.

Who was seen to have credit may go on up to that (`allow`), or out of credit that this process has on lease (`lease`).
Each charge is on the disk before its answer ends, and is delivered once when the store is back. Whom this process has
not seen lately, it serves to nobody.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

import msgspec

from sidecar.domain.errors import JournalFull, StoreTimeout, StoreUnavailable
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.store_down import OnStoreDown, StoreDown
from sidecar.services.allowances import Allowances
from sidecar.services.charges import Charge, charge_bridged
from sidecar.services.credit_leases import CreditLeases, LeaseTerms
from sidecar.services.hold import Bridged, Hold, Purse
from sidecar.services.settling import Ending, Settlement, Settling
from sidecar.services.spool import Spool
from sidecar.store.hold_record import HoldRecord
from sidecar.store.ledger import Ledger

log = logging.getLogger("sidecar.bridging")

CALM_S: Final = 5.0
"""So long after the last request without the store it is said that this has ended: the store may come and go."""
TTL_MS: Final = 60_000
"""Said of holds that never were."""
_BAD_KEY = (RefusalCode.UNIDENTIFIED, RefusalCode.KEY_EXPIRED)
_SHORT = (
    *(RefusalCode.HOLDS_IN_FLIGHT, RefusalCode.INSUFFICIENT_CREDITS),
    *(RefusalCode.POOL_CAP_REACHED, RefusalCode.SPEND_CAP_REACHED),
)


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for credit, and for what."""

    customer_id: str
    credential: str
    unit: str
    feature: str
    rule: str
    rules_version: str


class _Switch:
    """Says in the log when serving without the store begins and when it ends, once for each outage."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._on = False
        self._count = 0
        self._last_at = 0.0

    def bridged(self) -> None:
        if not self._on:
            log.warning("bridging.began: the store does not answer; rules with `on_store_down` serve whom they know")
            self._on, self._count = True, 0
        self._count += 1
        self._last_at = self._now()

    def answered(self) -> None:
        if self._on and self._now() - self._last_at >= CALM_S:
            log.warning("bridging.ended: the store answers; %d requests were served without it", self._count)
            self._on = False


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
        away: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
        lease_terms: LeaseTerms,
    ) -> None:
        """`give_back` releases what may have been reserved, though nobody knows; `away`: the store is."""
        self.leases = CreditLeases(
            ledger, next_id=next_id, give_back=give_back, away=away, now=now, terms=lease_terms
        )
        self.allowances = Allowances(now)
        self._ledger = ledger
        self._settling = settling
        self._spool = spool
        self._next_id = next_id
        self._switch = _Switch(now)
        self.requests: dict[str, int] = {OnStoreDown.ALLOW: 0, OnStoreDown.LEASE: 0}
        """Served without the store."""

    @property
    def bounds(self) -> dict[str, int]:
        """By unit, what was spent by allowance and is not charged yet, here or by processes whose charges we deliver.

        At most so much is beyond what there is.
        """
        left = self._spool.allowed if self._spool is not None else {}
        taken = self.allowances.taken
        return {unit: taken.get(unit, 0) + left.get(unit, 0) for unit in taken | left}

    async def take(
        self, asking: Asking, amount: int, policy: StoreDown, reserve: Callable[[], Awaitable[Hold | Refused]]
    ) -> Hold | Refused:
        """What `reserve` answers, or a hold of ours where the store does not answer and `policy` lets the request go.

        Raises what `reserve` does.
        """
        try:
            outcome = await reserve()
        except (StoreUnavailable, StoreTimeout) as error:
            bridged = None if isinstance(error, JournalFull) else self._bridge(asking, amount, policy)
            if bridged is None:
                raise
            return bridged
        self._switch.answered()
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
            paid_by=hold.paid_by,
        )

        def attempt() -> Coroutine[Any, Any, Ending]:
            return charge_bridged(bridged, self._ledger)

        return self._settling.settle_in_turn(Settlement(hold, charge, attempt, bridged=bridged))

    async def release(self, hold: Bridged) -> None:
        """It costs nothing, and nobody has heard of it."""
        hold.purse.spend(hold.held, 0)

    def _heard(self, asking: Asking, outcome: Hold | Refused, policy: StoreDown) -> None:
        who = asking.customer_id, asking.credential
        if not isinstance(outcome, Refused):
            if outcome.limited_key:
                # Only the store knows whether such a key may go on.
                self._distrust(who)
            elif policy.way is OnStoreDown.LEASE:
                self.leases.used(*who, asking.unit, asking.feature, outcome)
            else:
                self.allowances.heard(*who, asking.unit, outcome.available)
        elif outcome.code in _BAD_KEY:
            self._distrust(who)
        elif outcome.code is RefusalCode.CUSTOMER_SUSPENDED:
            self.allowances.suspended(asking.customer_id)
            self.leases.suspended(asking.customer_id)
        elif outcome.code in _SHORT:
            self.allowances.short(*who, asking.unit, outcome.available)

    def _distrust(self, who: tuple[str, str]) -> None:
        self.allowances.revoked(*who)
        self.leases.revoked(*who)

    def _bridge(self, asking: Asking, amount: int, policy: StoreDown) -> Bridged | None:
        if self._spool is None or not self._spool.writable():
            # A charge that cannot be kept could be lost.
            return None
        purse = self._purse(asking, amount, policy)
        if purse is None:
            return None
        self.requests[policy.way] += 1
        self._switch.bridged()
        record = self._ledger.hold(
            asking.customer_id, self._next_id(), ((asking.unit, amount),), TTL_MS, asking.feature, asking.rule,
            rules_version=asking.rules_version, remember=True,
        )  # fmt: skip
        return Bridged(record, purse)

    def _purse(self, asking: Asking, amount: int, policy: StoreDown) -> Purse | None:
        if policy.way is OnStoreDown.LEASE:
            return self.leases.take(asking.customer_id, asking.credential, asking.unit, asking.feature, amount)
        return self.allowances.take(asking.customer_id, asking.credential, asking.unit, amount, policy)
