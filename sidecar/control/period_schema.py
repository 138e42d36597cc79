"""Periods on the wire: what a customer gets in each, and what of it is carried into the next."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from sidecar.control.credit_schema import Amount, AmountOrNone, Instant, Lasting, Prose, UnitName
from sidecar.control.schema import Asked, Wire, epoch_ms, instant
from sidecar.domain.amounts import CREDITS
from sidecar.domain.blocks import PRIORITY_MAX, Grant
from sidecar.domain.customers import Customer
from sidecar.domain.periods import WHOLE, Carry, Closed, Closing, Opened, PeriodTerms, Turned, closed_of

_Unit = Annotated[UnitName, Meta(description="In which unit.")]
_Start = Annotated[Instant, Meta(description="When the period starts: its name. It is opened once, for ever.")]
_End = Annotated[Instant, Meta(description="When the period ends: its name. It is closed once, for ever.")]
_Allocation = Annotated[Amount, Meta(description="Base units that it brings, if not those of the customer's terms.")]
_Reason = Annotated[Prose, Meta(description="For people; kept in the ledger.")]
_MS = 1000


class SetPeriods(Asked, frozen=True, kw_only=True):
    """What a customer gets in each period, from the next one on."""

    allocation: (
        Annotated[Amount, Meta(description="Base units of each period; without it, whoever opens one says.")] | None
    ) = None
    carry_limit: (
        Annotated[AmountOrNone, Meta(description="Most base units that are carried; without it, any number.")] | None
    ) = None
    carry_percent: Annotated[
        int, Meta(ge=0, le=WHOLE, description="So much of what is left is carried, rounded down, before the limit.")
    ] = WHOLE
    carry_expires_in_seconds: (
        Annotated[Lasting, Meta(description="How long what is carried can be spent, from the close on.")] | None
    ) = None
    priority: Annotated[
        int, Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX, description="Of what periods bring: the lower burns first.")
    ] = 0
    period_start: Annotated[Instant, Meta(description="When the first period starts, if you know.")] | None = None
    unit: _Unit = CREDITS.name

    @property
    def terms(self) -> PeriodTerms:
        lasts_s, start = self.carry_expires_in_seconds, self.period_start
        return PeriodTerms(
            allocation=self.allocation,
            carry=Carry(
                limit=self.carry_limit,
                percent=self.carry_percent,
                lasts_ms=None if lasts_s is None else lasts_s * _MS,
            ),
            priority=self.priority,
            starts_at_ms=None if start is None else epoch_ms(start, "period_start"),
        )


class PeriodsQuery(Asked, frozen=True, kw_only=True):
    unit: UnitName = CREDITS.name


class OpenPeriod(Asked, frozen=True, kw_only=True):
    period_start: _Start
    allocation: _Allocation | None = None
    unit: _Unit = CREDITS.name
    reason: _Reason = ""


class ClosePeriod(Asked, frozen=True, kw_only=True):
    period_end: _End
    unit: _Unit = CREDITS.name
    reason: _Reason = ""


class RollPeriod(Asked, frozen=True, kw_only=True):
    period_end: Annotated[Instant, Meta(description="When the one period ends and the next one starts.")]
    allocation: _Allocation | None = None
    unit: _Unit = CREDITS.name
    reason: _Reason = ""


class PeriodTermsView(Wire, frozen=True, kw_only=True):
    customer_id: str
    external_id: str
    unit: str
    allocation: int | None
    carry_limit: int | None
    carry_percent: int
    carry_expires_in_seconds: int | None
    priority: int
    period_start: Annotated[
        datetime | None, Meta(description="Of the period that was opened last; before the first, as it was set.")
    ]

    @classmethod
    def of(cls, customer: Customer, unit: str, terms: PeriodTerms, opened_last_ms: int | None) -> "PeriodTermsView":
        carry = terms.carry
        starts_at_ms = terms.starts_at_ms if opened_last_ms is None else opened_last_ms
        return cls(
            customer_id=customer.customer_id,
            external_id=customer.external_id,
            unit=unit,
            allocation=terms.allocation,
            carry_limit=carry.limit,
            carry_percent=carry.percent,
            carry_expires_in_seconds=None if carry.lasts_ms is None else carry.lasts_ms // _MS,
            priority=terms.priority,
            period_start=None if starts_at_ms is None else instant(starts_at_ms),
        )


_Balance = Annotated[int, Meta(description="What the account had after it, held amounts included, less debt.")]


_Duplicate = Annotated[bool, Meta(description="It was done before: nothing changed.")]


class PeriodView(Wire, frozen=True, kw_only=True):
    """What became of a period's credit: available = expired + carried."""

    period_end: datetime
    available: Annotated[int, Meta(description="What of the credit of periods was neither spent nor held.")]
    expired: int
    carried: int
    balance: _Balance

    @classmethod
    def of_entry(cls, period: str) -> "PeriodView":
        """As the ledger has it."""
        ends_at_ms, closed = closed_of(period)
        return cls(**_became(ends_at_ms, closed))


class ClosedView(PeriodView, frozen=True, kw_only=True):
    duplicate: _Duplicate

    @classmethod
    def of(cls, ends_at_ms: int, closed: Closed) -> "ClosedView":
        return cls(**_became(ends_at_ms, closed), duplicate=closed.duplicate)


class OpenedView(Wire, frozen=True, kw_only=True):
    """The credit that a period brought."""

    period_start: datetime
    block_id: str
    allocation: int
    balance: _Balance
    duplicate: _Duplicate

    @classmethod
    def of(cls, starts_at_ms: int, opened: Opened) -> "OpenedView":
        return cls(
            period_start=instant(starts_at_ms),
            block_id=opened.block_id,
            allocation=opened.amount,
            balance=opened.balance,
            duplicate=opened.duplicate,
        )


class TurnedView(Wire, frozen=True, kw_only=True):
    """What was done of closing one period and opening another."""

    customer_id: str
    external_id: str
    unit: str
    closed: ClosedView | None
    opened: OpenedView | None

    @classmethod
    def of(
        cls, customer: Customer, unit: str, closing: Closing | None, grant: Grant | None, turned: Turned
    ) -> "TurnedView":
        closed = opened = None
        if closing is not None and turned.closed is not None:
            closed = ClosedView.of(closing.ends_at_ms, turned.closed)
        if grant is not None and grant.period_starts_at_ms is not None and turned.opened is not None:
            opened = OpenedView.of(grant.period_starts_at_ms, turned.opened)
        return cls(
            customer_id=customer.customer_id,
            external_id=customer.external_id,
            unit=unit,
            closed=closed,
            opened=opened,
        )


def _became(ends_at_ms: int, closed: Closed) -> dict[str, Any]:
    return {
        "period_end": instant(ends_at_ms),
        "available": closed.available,
        "expired": closed.expired,
        "carried": closed.carried,
        "balance": closed.balance,
    }
