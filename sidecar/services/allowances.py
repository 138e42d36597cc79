"""What customers may spend while the store does not answer, if a rule allows it: up to what they were seen to have.

One allowance for each customer and unit, whichever of its keys it uses, so that more keys do not make it more. It is
what this process believes: others believe the same. It holds and charges nothing, see `bridging`.
"""

import time
from collections.abc import Callable
from typing import Final

from sidecar.domain.outcomes import Overrun
from sidecar.domain.store_down import StoreDown

KNOWN_MAX: Final = 10_000
"""Customers that are remembered; when there are more, those are forgotten that were not heard of longest."""
CREDENTIALS_MAX: Final = 100
"""Of one customer, in the same way."""
TRUSTED_S: Final = 3600.0
"""So long after it was seen to be good a credential is believed, when its customer begins to spend."""


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

    def take(self, amount: int, policy: StoreDown, now: float, seen_at: float) -> bool:
        """Whether `amount` may be spent by a credential that was last seen to be good at `seen_at`."""
        since = now if self._since is None else self._since
        if since - seen_at > TRUSTED_S or now - since > policy.for_s:
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
    """A customer: when each of its credentials was last seen to be good, and its allowances by unit."""

    __slots__ = ("allowances", "seen_at")

    def __init__(self) -> None:
        self.seen_at: dict[str, float] = {}
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
        known.seen_at.pop(credential, None)
        known.seen_at[credential] = self._now()
        if len(known.seen_at) > CREDENTIALS_MAX:
            known.seen_at.pop(next(iter(known.seen_at)))
        (known.allowances.get(unit) or known.allowances.setdefault(unit, Allowance(unit, self.taken))).heard(
            available
        )

    def short(self, customer_id: str, credential: str, unit: str, available: int) -> None:
        """The store took the credential, and has too little left; who is not known does not come to be."""
        known = self._known.get(customer_id)
        if known is not None and credential in known.seen_at and unit in known.allowances:
            self.heard(customer_id, credential, unit, available)

    def revoked(self, customer_id: str, credential: str) -> None:
        """The store does not take this credential."""
        known = self._known.get(customer_id)
        if known is not None:
            known.seen_at.pop(credential, None)

    def suspended(self, customer_id: str) -> None:
        """The store takes none of the customer's credentials. What it has spent still counts."""
        known = self._known.get(customer_id)
        if known is not None:
            known.seen_at.clear()

    def take(self, customer_id: str, credential: str, unit: str, amount: int, policy: StoreDown) -> Allowance | None:
        """The allowance, of which `amount` is taken; None: it may not be spent."""
        known = self._known.get(customer_id)
        if known is None or (allowance := known.allowances.get(unit)) is None:
            return None
        seen_at = known.seen_at.get(credential)
        if seen_at is None or not allowance.take(amount, policy, self._now(), seen_at):
            return None
        return allowance

    def _forget_one(self) -> None:
        """The one not heard of longest; if what it has spent would be forgotten with it, it has another turn."""
        customer_id = next(iter(self._known))
        known = self._known.pop(customer_id)
        if known.spends:
            self._known[customer_id] = known
