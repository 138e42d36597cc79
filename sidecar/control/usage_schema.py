"""Usage on the wire: what is reported, and what it was charged."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field

from sidecar.control.credit_schema import AmountOrNone, Instant, UnitName
from sidecar.control.customer_schema import Metadata
from sidecar.control.hold_schema import ChargeDisplay, Reported
from sidecar.control.metric_schema import MetricKey
from sidecar.control.reserve_schema import Word
from sidecar.control.schema import Asked, Wire
from sidecar.control.whose import Whose
from sidecar.domain.amounts import Unit, render
from sidecar.domain.blocks import Slice
from sidecar.domain.errors import Denied, SidecarError
from sidecar.services.usage import Charged

EVENTS_MAX = 1_000
EventId = Annotated[str, Meta(pattern=r"^[!-~]{1,120}$(?!\n)", description="Good for one charge, for ever.")]


class UsageEvent(Whose, frozen=True, kw_only=True):
    """Something that was used: units of a metric at its price, or an amount."""

    billable_metric_key: MetricKey | UnsetType = UNSET
    units: Annotated[Reported, Meta(description="Of the metric; 0 is recorded and costs nothing.")] | UnsetType = (
        UNSET
    )
    credits: Annotated[AmountOrNone, Meta(description="Instead: base units of `unit`.")] | UnsetType = UNSET
    unit: UnitName | UnsetType = UNSET
    feature: Annotated[Word, Meta(description="What it was for: restricted blocks may ask for it.")] | UnsetType = (
        UNSET
    )
    event_time: (
        Annotated[Instant, Meta(description="When it was; at most 35 days ago. It has the price of then.")]
        | UnsetType
    ) = UNSET
    enforce: Annotated[bool, Meta(description="False: it is charged in any case, what is not there is owed.")] = True
    metadata: Metadata = field(default_factory=dict)


class RecordUsage(UsageEvent, frozen=True, kw_only=True):
    event_id: Annotated[EventId, Meta(description="The Idempotency-Key, unless given.")] | UnsetType = UNSET
    dry_run: Annotated[bool, Meta(description="Only say what it would cost, and out of which blocks.")] = False


class BatchedEvent(UsageEvent, frozen=True, kw_only=True):
    event_id: EventId


class RecordBatch(Asked, frozen=True, kw_only=True):
    events: Annotated[list[BatchedEvent], Meta(min_length=1, max_length=EVENTS_MAX)]
    atomic: Annotated[bool, Meta(description="All of them, or none.")] = False


class PlannedSlice(Wire, frozen=True, kw_only=True):
    block_id: str
    amount: int


class UsageCharge(Wire, frozen=True, kw_only=True):
    """What an event was charged; of a dry run, what it would be."""

    event_id: str
    customer_id: str
    unit: str
    cost: Annotated[int, Meta(description="Base units of `unit`.")]
    overage: Annotated[int, Meta(description="The part of it that became debt.")]
    feature: str
    rule: str
    duplicate: Annotated[bool, Meta(description="It was charged before, by this event id; nothing was now.")]
    available: Annotated[int, Meta(description="What is left to who pays, after this.")] | UnsetType = UNSET
    display: ChargeDisplay | UnsetType = UNSET
    slices: Annotated[list[PlannedSlice], Meta(description="Of a dry run, in burn order.")] | UnsetType = UNSET

    @classmethod
    def of(
        cls, charged: Charged, units: Mapping[str, Unit], slices: list[PlannedSlice] | None = None
    ) -> "UsageCharge":
        unit = units.get(charged.unit)
        return cls(
            event_id=charged.event_id,
            customer_id=charged.customer_id,
            unit=charged.unit,
            cost=charged.charged,
            overage=charged.owed,
            feature=charged.feature,
            rule=charged.rule,
            duplicate=charged.duplicate,
            available=UNSET if charged.available is None else charged.available,
            display=UNSET if unit is None else ChargeDisplay(charged=render(charged.charged, unit)),
            slices=UNSET if slices is None else slices,
        )


class EventProblem(Wire, frozen=True, kw_only=True):
    """Why an event was not charged."""

    code: str
    detail: str
    required: int | UnsetType = UNSET
    available: int | UnsetType = UNSET

    @classmethod
    def of(cls, error: SidecarError) -> "EventProblem":
        members = error.members if isinstance(error, Denied) else {}
        amounts = {name: members.get(name) for name in ("required", "available")}
        return cls(
            code=error.code,
            detail=error.detail,
            **{name: amount for name, amount in amounts.items() if isinstance(amount, int)},
        )


class EventOutcome(Wire, frozen=True, kw_only=True):
    """Exactly one of both."""

    charge: UsageCharge | UnsetType = UNSET
    problem: EventProblem | UnsetType = UNSET


class BatchOutcome(Wire, frozen=True, kw_only=True):
    charged: int
    duplicates: int
    failed: int
    outcomes: Annotated[list[EventOutcome], Meta(description="In the order of the events.")]


def planned(slices: tuple[Slice, ...], ids: Mapping[int, str]) -> list[PlannedSlice]:
    return [PlannedSlice(block_id=ids[each.block], amount=each.amount) for each in slices]
