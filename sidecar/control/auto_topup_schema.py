"""Auto-top-ups and what they ask for, on the wire."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sidecar.control.credit_schema import AmountOrNone, Prose, Text
from sidecar.control.schema import CURSOR_MAX, LIMIT_DEFAULT, LIMIT_MAX, Asked, Pagination, Wire, instant, words
from sidecar.control.topup_schema import PackageKey
from sidecar.domain.auto_topups import AutoTopup, RequestState, TopupRequest
from sidecar.domain.watches import Watch

Count = Annotated[int, Meta(ge=1, le=10_000)]
CoolDown = Annotated[int, Meta(ge=0, le=2_592_000)]


class SetAutoTopup(Asked, frozen=True, kw_only=True):
    threshold: Annotated[AmountOrNone, Meta(description="Ask when no more than this is left, in base units.")]
    package_id: Annotated[PackageKey, Meta(description="What is asked for: a package's key.")]
    max_per_day: Annotated[Count, Meta(description="Most requests within 24 hours; null: any number.")] | None = 5
    max_per_month: Annotated[Count, Meta(description="Most requests within 30 days.")] | None = None
    cool_down_seconds: Annotated[CoolDown, Meta(description="From a request to the next, whatever became of it.")] = (
        300
    )
    active: Annotated[bool, Meta(description="Whether it asks.")] = True


class AutoTopupView(Wire, frozen=True, kw_only=True):
    unit: str
    threshold: int
    package_id: str
    max_per_day: int | None
    max_per_month: int | None
    cool_down_seconds: int
    active: bool
    version: int
    updated_at: datetime

    @classmethod
    def of(cls, watch: Watch) -> "AutoTopupView":
        rule = msgspec.json.decode(watch.body, type=AutoTopup)
        return cls(
            unit=watch.unit,
            threshold=rule.threshold,
            package_id=rule.package_id,
            max_per_day=rule.max_per_day,
            max_per_month=rule.max_per_month,
            cool_down_seconds=rule.cool_down_s,
            active=rule.active,
            version=watch.version,
            updated_at=instant(watch.updated_at_ms),
        )


class AutoTopupPage(Wire, frozen=True, kw_only=True):
    data: list[AutoTopupView]
    pagination: Pagination = msgspec.field(default_factory=lambda: Pagination.of(None))


class RequestsQuery(Asked, frozen=True, kw_only=True):
    state: Literal["outstanding", "fulfilled", "failed", "canceled"] | None = None
    customer_id: Text | None = None
    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT
    cursor: Annotated[str, Meta(min_length=1, max_length=CURSOR_MAX)] | None = None


class DeclineRequest(Asked, frozen=True, kw_only=True):
    reason: Annotated[Prose, Meta(description="Why it will not be fulfilled; for people.")] = ""


class TopupRequestView(Wire, frozen=True, kw_only=True):
    request_id: str
    customer_id: str
    unit: str
    state: Annotated[str, words(*RequestState)]
    package_id: str
    threshold: int
    balance: Annotated[int, Meta(description="What was left when it was made.")]
    made_at: datetime
    ended_at: datetime | None
    topup_id: Annotated[str | None, Meta(description="What was granted.")]
    reason: Annotated[str, Meta(description="Why it was declined.")]

    @classmethod
    def of(cls, request: TopupRequest) -> "TopupRequestView":
        return cls(
            request_id=request.request_id,
            customer_id=request.customer_id,
            unit=request.unit,
            state=RequestState(request.state),
            package_id=request.package_id,
            threshold=request.threshold,
            balance=request.balance,
            made_at=instant(request.made_at_ms),
            ended_at=None if request.ended_at_ms is None else instant(request.ended_at_ms),
            topup_id=request.topup_id or None,
            reason=request.reason,
        )


class TopupRequestPage(Wire, frozen=True, kw_only=True):
    data: list[TopupRequestView]
    pagination: Pagination
