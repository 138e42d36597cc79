"""What customers may spend while the store does not answer, if a rule allows it: up to what they were seen to have.

One allowance for each customer and unit, whichever of its keys it uses, so that more keys do not make it more. It is
what this process believes: others believe the same. It holds and charges nothing, see `bridging`.
"""

import time
from collections.abc import Callable
from typing import Final

from sidecar.domain.outcomes import Overrun
from sidecar.domain.store_down import StoreDown
from sidecar.services.seen import Seen

KNOWN_MAX: Final = 10_000
"""Customers that are remembered; when there are more, those are forgotten that were not heard of longest."""


class Allowance:
    """What a customer was last seen to have in one unit, and what it spent since without the store."""

    paid_by = ""
    overrun = Overrun.OWE
    word = "enforced=false"

    def __init__(self, unit: str, taken: dict[str, int]) -> None:
        """`taken`: by unit, of all allowances together."""
        self.available = 0
        self.taken = 0
        """Held for requests that run, and charged for others, without the store's having heard of it."""
        self._unit = unit
        self._all_taken = taken
        self._since: float | None = None
        taken.setdefault(unit, 0)

    def heard(self, available: int) -> None:
        """The store has answered."""
        self.available = available
        if not self.taken:
            self._since = None

    def since(self, now: float) -> float:
        """When the customer began to spend, which may be now."""
        return now if self._since is None else self._since

    def take(self, amount: int, policy: StoreDown, now: float) -> bool:
        """Whether `amount` may be spent."""
        since = self.since(now)
        if now - since > policy.for_s:
            return False
        if self.taken + amount > min(self.available, policy.most):
            return False
        if self._all_taken[self._unit] + amount > policy.total:
            return False
        self._since = since
        self._add(amount)
        return True

    def spend(self, held: int, charge: int) -> None:
        self._add(charge - held)

    def delivered(self, charge: int) -> None:
        self._add(-charge)
        # Until the store says what there is now: the next outage may come before that.
        self.available -= charge
        if not self.taken:
            self._since = None

    def _add(self, amount: int) -> None:
        self.taken += amount
        self._all_taken[self._unit] += amount


class _Known:
    """A customer: its credentials, and its allowances by unit."""

    __slots__ = ("allowances", "seen")

    def __init__(self) -> None:
        self.seen = Seen()
        self.allowances: dict[str, Allowance] = {}

    @property
    def spends(self) -> bool:
        return any(allowance.taken for allowance in self.allowances.values())


class Allowances:
    """Shared by all requests of a process. `taken` is by unit what was spent and is not charged yet."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        # The one that was heard of last at the end.
        self._known: dict[str, _Known] = {}
        self.taken: dict[str, int] = {}

    def heard(self, customer_id: str, credential: str, unit: str, available: int) -> None:
        """The store took this credential, and has so much left for the customer."""
        known = self._known[customer_id] = self._known.pop(customer_id) if customer_id in self._known else _Known()
        if len(self._known) > KNOWN_MAX:
            self._forget_one()
        known.seen.good(credential, self._now())
        (known.allowances.get(unit) or known.allowances.setdefault(unit, Allowance(unit, self.taken))).heard(
            available
        )

    def short(self, customer_id: str, credential: str, unit: str, available: int) -> None:
        """The store took the credential, and has too little left; who is not known does not come to be."""
        known = self._known.get(customer_id)
        if known is not None and credential in known.seen and unit in known.allowances:
            self.heard(customer_id, credential, unit, available)

    def revoked(self, customer_id: str, credential: str) -> None:
        """The store does not take this credential."""
        known = self._known.get(customer_id)
        if known is not None:
            known.seen.bad(credential)

    def suspended(self, customer_id: str) -> None:
        """The store takes none of the customer's credentials. What it has spent still counts."""
        known = self._known.get(customer_id)
        if known is not None:
            known.seen.clear()

    def take(self, customer_id: str, credential: str, unit: str, amount: int, policy: StoreDown) -> Allowance | None:
        """The allowance, of which `amount` is taken; None: it may not be spent."""
        known, now = self._known.get(customer_id), self._now()
        if known is None or (allowance := known.allowances.get(unit)) is None:
            return None
        if not known.seen.trusts(credential, allowance.since(now)) or not allowance.take(amount, policy, now):
            return None
        return allowance

    def _forget_one(self) -> None:
        """The one not heard of longest; if what it has spent would be forgotten with it, it has another turn."""
        customer_id = next(iter(self._known))
        known = self._known.pop(customer_id)
        if known.spends:
            self._known[customer_id] = known
