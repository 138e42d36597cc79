"""Reservations on the wire, for who reserves over the API: asked for, charged, looked at."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field

from sidecar.control.credit_schema import AmountOrNone, Text, UnitName
from sidecar.control.customer_schema import Metadata
from sidecar.control.hold_schema import Reported
from sidecar.control.metric_schema import MetricKey, counted
from sidecar.control.schema import Asked, Wire, instant
from sidecar.control.whose import Whose
from sidecar.domain.amounts import Unit, render
from sidecar.domain.errors import InvalidInput
from sidecar.domain.outcomes import HoldState, Overrun
from sidecar.services.reservations import Committed, Said, Standing

TTL_S = 300
TTL_MAX_S = 86_400

Word = Annotated[str, Meta(pattern=r"^[^\s\x00-\x1f]{1,128}$(?!\n)")]
Ttl = Annotated[int, Meta(ge=1, le=TTL_MAX_S)]
_IN_ALL = "Base units of the reservation's unit: what it comes to in all, with what steps have charged."


class Reserve(Whose, frozen=True, kw_only=True):
    """What is to be held, and for how long."""

    credits: Annotated[AmountOrNone, Meta(description="Base units of `unit`; or say it by a metric.")] | UnsetType = (
        UNSET
    )
    unit: UnitName | UnsetType = UNSET
    feature: Annotated[Word, Meta(description="What it is for: restricted blocks may ask for it.")] | UnsetType = (
        UNSET
    )
    billable_metric_key: Annotated[MetricKey, Meta(description="Instead of `credits`: by its price.")] | UnsetType = (
        UNSET
    )
    estimated_units: Annotated[Reported, Meta(description="Of the metric: as much as it may be.")] | UnsetType = UNSET
    ttl_seconds: Annotated[Ttl, Meta(description="After so long, what is held goes back.")] = TTL_S
    metadata: Metadata = field(default_factory=dict)


class Commit(Asked, frozen=True, kw_only=True):
    """What it has cost: `credits`, or `actual_units` of the metric that it was reserved for."""

    credits: Annotated[AmountOrNone, Meta(description=_IN_ALL)] | UnsetType = UNSET
    actual_units: (
        Annotated[Reported, Meta(description="In all; at the price of when it was reserved.")] | UnsetType
    ) = UNSET
    final: Annotated[bool, Meta(description="False: charge so far, and keep the rest held.")] = True
    on_over: Annotated[
        Overrun,
        Meta(
            description="What becomes of a cost above the hold that nothing is available for: it is owed, or let go "
            "(`cap`). With `reject`, nothing above the hold is charged: a 409, and the hold stays."
        ),
    ] = Overrun.OWE


class Release(Asked, frozen=True, kw_only=True):
    reason: Annotated[Text, Meta(description="Kept in the ledger.")] = "released by its caller"


class Extend(Asked, frozen=True, kw_only=True):
    ttl_seconds: Annotated[Ttl, Meta(description="From now on it lives for at least so long.")] = TTL_S


class Increase(Asked, frozen=True, kw_only=True):
    """For what it shall be enough."""

    credits: Annotated[AmountOrNone, Meta(description=_IN_ALL)] | UnsetType = UNSET
    estimated_units: Annotated[Reported, Meta(description="Of its metric, in all.")] | UnsetType = UNSET


def said(amount: int | UnsetType, units: int | str | UnsetType, name: str) -> Said:
    """What a body says that it comes to. InvalidInput unless it is one of both."""
    if isinstance(amount, UnsetType) == isinstance(units, UnsetType):
        raise InvalidInput(f"Say what it comes to by `credits` or by `{name}`: one of both.", name)
    if isinstance(units, UnsetType):
        return Said(amount=0 if isinstance(amount, UnsetType) else amount)
    return Said(units=counted(units, name))


class StandingDisplay(Wire, frozen=True, kw_only=True):
    held: str
    charged: str


class StandingView(Wire, frozen=True, kw_only=True):
    """How a reservation stands."""

    reservation_id: str
    status: Annotated[str, Meta(description="active, committed, committed_late, released or expired.")]
    customer_id: Annotated[str, Meta(description="Who asked for it.")]
    payer_customer_id: Annotated[str, Meta(description="Whose credit it holds: the same, or its parent's.")]
    unit: str
    held: Annotated[int, Meta(description="Now.")]
    charged: Annotated[int, Meta(description="So far, in steps too.")]
    feature: str
    rule: str
    metadata: dict[str, str]
    created_at: Annotated[datetime, Meta(description="Left out for a while after its end.")] | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET
    available: Annotated[int, Meta(description="What is left to who pays, after this.")] | UnsetType = UNSET
    display: StandingDisplay | UnsetType = UNSET

    @classmethod
    def of(
        cls, standing: Standing, units: Mapping[str, Unit], available: int | None = None, **more: int
    ) -> "StandingView":
        unit = units.get(standing.unit)
        return cls(
            reservation_id=standing.reservation_id,
            status="active" if standing.state is HoldState.OPEN else standing.state.value,
            customer_id=standing.customer_id,
            payer_customer_id=standing.payer_id,
            unit=standing.unit,
            held=standing.held,
            charged=standing.charged,
            feature=standing.feature,
            rule=standing.rule,
            metadata=standing.note.metadata,
            created_at=UNSET if standing.created_at_ms is None else instant(standing.created_at_ms),
            expires_at=UNSET if standing.expires_at_ms is None else instant(standing.expires_at_ms),
            available=UNSET if available is None else available,
            display=UNSET
            if unit is None
            else StandingDisplay(held=render(standing.held, unit), charged=render(standing.charged, unit)),
            **more,
        )


class CommittedView(StandingView, frozen=True, kw_only=True):
    """A reservation after a commit, and what that did."""

    consumed: Annotated[int, Meta(description="Charged by this commit.")]
    released: Annotated[int, Meta(description="Of what was held, what went back.")]
    owed: Annotated[int, Meta(description="The part of `consumed` that became debt.")]
    uncollected: Annotated[int, Meta(description="The part of the cost that was let go.")]

    @classmethod
    def after(cls, committed: Committed, units: Mapping[str, Unit]) -> "CommittedView":
        view = cls.of(
            committed.standing,
            units,
            committed.available,
            consumed=committed.charged,
            released=committed.released,
            owed=committed.owed,
            uncollected=committed.uncollected,
        )
        assert isinstance(view, CommittedView), "it is made by its own class"
        return view
