"""What a rule does with requests while the store does not answer."""

from enum import StrEnum

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT, Unit, render


class OnStoreDown(StrEnum):
    """Who may spend what, while nobody can be asked what there is."""

    DENY = "deny"
    """Nobody: the request is refused."""
    ALLOW = "allow"
    """Whoever was seen to have credit, up to what that was; it may be more than there is."""
    LEASE = "lease"
    """Whoever has credit on lease here, out of that; it is never more than there is."""


class StoreDown(msgspec.Struct, frozen=True, kw_only=True):
    """``on_store_down`` of a rule.

    With `allow`, one process lets a customer spend at most `most` base units meanwhile, for at most `for_s`, and all
    customers together `total` base units of the rule's unit.
    """

    way: OnStoreDown = OnStoreDown.DENY
    most: int = MAX_AMOUNT
    total: int = MAX_AMOUNT
    for_s: int = 600

    def notes(self, unit: Unit) -> tuple[str, ...]:
        """What it does, in sentences for people."""
        match self.way:
            case OnStoreDown.DENY:
                return ()
            case OnStoreDown.ALLOW:
                most = (
                    f"{render(self.most, unit)} {unit.name} each" if self.most < MAX_AMOUNT else "what each last had"
                )
                if self.total < MAX_AMOUNT:
                    most += f" and {render(self.total, unit)} {unit.name} together"
                served = f"serves customers that it knows for {self.for_s} s, up to {most}, and charges later"
                return (f"without the store, each process {served}",)
            case OnStoreDown.LEASE:
                return ("without the store, each process serves customers out of the credit that it has on lease",)


DENY = StoreDown()
