"""Who may draw from a payer's accounts in the model: the payer, and the members of its pool within their caps."""

import msgspec
from msgspec.structs import replace

from sidecar.domain.outcomes import RefusalCode, Refused


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """What a member has of the payer's account: what it spent and holds together stays within `cap`."""

    cap: int | None = None
    held: int = 0
    spent: int = 0
    """What it was charged, debt included."""


class BookMembers:
    """The payer, its members and what each of them takes. Amounts of who is no member are not counted."""

    def __init__(self, payer_id: str) -> None:
        self.payer_id = payer_id
        self._pools: dict[str, dict[str, Pool]] = {}
        """Of each member, by unit."""
        self._suspended: set[str] = set()

    def join(self, member_id: str) -> None:
        """From now on this customer draws from the payer's accounts."""
        self._pools.setdefault(member_id, {})

    def set_cap(self, member_id: str, unit: str, cap: int | None) -> None:
        """None: no limit but the account's. A cap below what was spent is no error: nothing fits any more."""
        self._pools[member_id][unit] = replace(self.pool(member_id, unit), cap=cap)

    def suspend(self, customer_id: str) -> None:
        """No further holds for this customer, nor for its members. What is held goes on."""
        self._suspended.add(customer_id)

    def resume(self, customer_id: str) -> None:
        self._suspended.discard(customer_id)

    def pool(self, member_id: str, unit: str) -> Pool:
        return self._pools.get(member_id, {}).get(unit, Pool())

    def pools(self) -> dict[tuple[str, str], Pool]:
        """By member and unit, where there is anything to say."""
        return {(member, unit): pool for member, units in self._pools.items() for unit, pool in units.items()}

    def barred(self, customer_id: str, unit: str, amount: int) -> Refused | None:
        if customer_id != self.payer_id and customer_id not in self._pools:
            return Refused(RefusalCode.UNIDENTIFIED, amount, unit=unit)
        if {customer_id, self.payer_id} & self._suspended:
            return Refused(RefusalCode.CUSTOMER_SUSPENDED, amount, unit=unit)
        return None

    def above_cap(self, customer_id: str, unit: str, amount: int) -> Refused | None:
        pool = self.pool(customer_id, unit)
        if pool.cap is None or pool.spent + pool.held + amount <= pool.cap:
            return None
        left = max(0, pool.cap - pool.spent - pool.held)
        return Refused(RefusalCode.POOL_CAP_REACHED, amount, left, pool.held, unit)

    def count(self, customer_id: str, unit: str, *, held: int, spent: int = 0) -> None:
        """Add to what a member holds and has spent."""
        if customer_id in self._pools:
            pool = self.pool(customer_id, unit)
            self._pools[customer_id][unit] = replace(pool, held=pool.held + held, spent=pool.spent + spent)
