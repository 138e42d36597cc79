"""Periods: credit that comes anew in each, and what of it is carried into the next one.

The credit of periods is that of its own blocks, those of the series `SERIES`; whatever else a customer has is left
alone when a period is closed. How much is carried is told by the customer's terms. Pure.
"""

from collections.abc import Mapping

import msgspec

from sidecar.domain.amounts import checked
from sidecar.domain.errors import InvalidInput

SERIES = "period"
"""Of the blocks that periods bring; their source too."""
WHOLE = 100
"""Percent."""


class Carry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a period's available credit outlasts it."""

    limit: int | None = None
    """Base units at most; None: any number of them."""
    percent: int = WHOLE
    """So much of it, rounded down to a base unit, before the limit."""
    lasts_ms: int | None = None
    """How long what is carried can be spent, from the close; None: for ever, or until the next close."""

    def of(self, available: int) -> int:
        """So much of it is carried; the rest expires."""
        share = available * self.percent // WHOLE
        return share if self.limit is None else min(share, self.limit)


class PeriodTerms(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a customer gets in each period of a unit."""

    allocation: int | None = None
    """Base units; None: whoever opens a period says."""
    carry: Carry = Carry()
    priority: int = 0
    """Of the blocks: the lower burns first."""
    starts_at_ms: int | None = None
    """Of the first period, if anybody said."""


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """A period's end. `ends_at_ms` names it: it is closed once, for ever."""

    ends_at_ms: int
    carry: Carry = Carry()


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the credit of a period: available = expired + carried."""

    available: int
    expired: int
    carried: int
    balance: int
    """What the account had after it, held amounts included: negative where it owed more."""
    duplicate: bool = False
    """It was closed before: nothing changed, and this is what was answered then."""

    @property
    def text(self) -> str:
        """As the journal and the store keep it."""
        return f"{self.available},{self.expired},{self.carried},{self.balance}"

    @classmethod
    def of_text(cls, text: str, *, duplicate: bool = False) -> "Closed":
        """Raises ValueError."""
        available, expired, carried, balance = map(int, text.split(","))
        return cls(available=available, expired=expired, carried=carried, balance=balance, duplicate=duplicate)


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The credit that a period brought."""

    block_id: str
    amount: int
    balance: int
    duplicate: bool = False
    """It was opened before."""

    @property
    def text(self) -> str:
        """As the store keeps it."""
        return f"{self.amount},{self.balance},{self.block_id}"

    @classmethod
    def of_text(cls, text: str, *, duplicate: bool = False) -> "Opened":
        """Raises ValueError."""
        amount, balance, block_id = text.split(",", 2)
        return cls(block_id=block_id, amount=int(amount), balance=int(balance), duplicate=duplicate)


class Turned(msgspec.Struct, frozen=True, kw_only=True):
    """What of a turn from one period to the next was asked for."""

    closed: Closed | None = None
    opened: Opened | None = None
    entry: str = ""
    """The place in the journal of what it wrote last."""
    replayed: bool = False


def closed_of(period: str) -> tuple[int, Closed]:
    """Which end, and what became of it, as the journal's line has it. Raises ValueError."""
    ends_at_ms, _, text = period.partition(",")
    return int(ends_at_ms), Closed.of_text(text)


class PastPeriods(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the periods of an account so far, by their ends and starts, the newest last."""

    closed: Mapping[int, Closed] = {}
    opened: Mapping[int, Opened] = {}


def checked_carry(carry: Carry) -> Carry:
    """`carry`, or InvalidInput that names the field."""
    if carry.limit is not None:
        checked(carry.limit, "carry_limit")
    if not 0 <= carry.percent <= WHOLE:
        raise InvalidInput(f"carry_percent must lie within 0 and {WHOLE}; got {carry.percent}.", "carry_percent")
    if carry.lasts_ms is not None and checked(carry.lasts_ms, "carry_lasts_ms") == 0:
        raise InvalidInput("What is carried must last for some time; got 0 ms.", "carry_lasts_ms")
    return carry
