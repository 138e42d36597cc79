"""Entitlement checks on the wire."""

from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from sidecar.control.customer_schema import ExternalId
from sidecar.control.hold_schema import Reported
from sidecar.control.metric_schema import counted
from sidecar.control.schema import Asked, Wire, instant, words
from sidecar.control.whose import Whose
from sidecar.domain.entitlements import Entitlement, Look
from sidecar.domain.errors import InvalidInput
from sidecar.domain.overage import OveragePolicy
from sidecar.domain.price import Number, number_text
from sidecar.domain.spend_caps import Capped, CapScope, Window
from sidecar.services.checking import Wanted

CHECKS_MAX = 100

Feature = Annotated[
    str,
    Meta(min_length=1, max_length=128, description="A billable metric's key, or a feature of the rule files."),
]
Units = Annotated[Reported, Meta(description="How many are asked for; decimals as text.")]


class UnitsWanted(Asked, frozen=True, kw_only=True):
    units: Units = 1


class FeatureWanted(Asked, frozen=True, kw_only=True):
    feature: Feature
    units: Units = 1

    def wanted(self) -> Wanted:
        return Wanted(self.feature, counted(self.units, "units"))


class CheckSeveral(Asked, frozen=True, kw_only=True):
    features: Annotated[tuple[FeatureWanted, ...], Meta(min_length=1, max_length=CHECKS_MAX)]


class CheckOne(Whose, frozen=True, kw_only=True):
    """Who, what and how much, by any of their names: `end_user_id` is your id of the customer."""

    end_user_id: Annotated[ExternalId, Meta(description="The same as `external_customer_id`.")] | UnsetType = UNSET
    feature: Feature | UnsetType = UNSET
    feature_key: Annotated[Feature, Meta(description="The same as `feature`.")] | UnsetType = UNSET
    billable_metric_key: Annotated[Feature, Meta(description="The same as `feature`.")] | UnsetType = UNSET
    units: Units = 1

    def wanted(self) -> Wanted:
        given = [each for each in (self.feature, self.feature_key, self.billable_metric_key) if isinstance(each, str)]
        if len(given) != 1:
            raise InvalidInput("Say what is asked for by `feature`, once, or by one of its other names.", "feature")
        return Wanted(given[0], counted(self.units, "units"))

    def whose(self) -> tuple[str | None, str | None]:
        """Our id or the operator's own; InvalidInput unless it is one of both."""
        ours = [self.customer_id] if isinstance(self.customer_id, str) else []
        theirs = [each for each in (self.external_customer_id, self.end_user_id) if isinstance(each, str)]
        if len(ours) + len(theirs) != 1:
            raise InvalidInput(
                "Say who it is by `customer_id` or by `external_customer_id` (`end_user_id`): one of both.",
                "customer_id",
            )
        return (ours[0], None) if ours else (None, theirs[0])


class CapView(Wire, frozen=True, kw_only=True):
    """The spend cap that leaves least, and how it stands in its window."""

    cap_id: str
    scope: Annotated[str, words(*CapScope)]
    window: Annotated[str, words(*Window)] | None
    rolling_seconds: int | None
    amount: int
    spent: int
    held: int
    reset_at: Annotated[datetime, Meta(description="When nothing of this counts any more.")]

    @classmethod
    def of(cls, cap: Capped) -> "CapView":
        return cls(
            cap_id=cap.cap_id,
            scope=cap.scope,
            window=cap.window,
            rolling_seconds=cap.rolling_ms // 1000 or None,
            amount=cap.amount,
            spent=cap.spent,
            held=cap.held,
            reset_at=instant(cap.reset_at_ms),
        )


class EntitlementView(Wire, frozen=True, kw_only=True):
    """Whether it could be used now. Nothing is held by it."""

    allowed: bool
    reason: Annotated[
        str | None, Meta(description="Why not: the code that a reservation would be refused with. Null if allowed.")
    ]
    customer_id: str
    external_customer_id: str
    billable_metric_key: Annotated[str, Meta(description="The feature, as it was asked for.")]
    units: Annotated[int | str, Meta(description="As asked for; decimals as text.")]
    unit: Annotated[str, Meta(description="What the amounts are of.")]
    balance: Annotated[int, Meta(description="Of the blocks that this feature may draw from: available and held.")]
    reserved_balance: Annotated[int, Meta(description="The part of it that open reservations hold.")]
    effective_balance: Annotated[int, Meta(description="What is left: less what is held and owed. May be negative.")]
    estimated_cost: Annotated[
        int | None, Meta(description="Null: the price depends on the request; then `allowed` says that any is left.")
    ]
    balance_after: Annotated[int | None, Meta(description="`effective_balance` less `estimated_cost`.")]
    max_units: Annotated[
        int | None,
        Meta(description="Whole units that could be used at once, caps heeded. Null: any number, or the cost is."),
    ]
    rule: Annotated[str | None, Meta(description="Which rule says what it costs; null: several of the rule files.")]
    spend_cap: Annotated[CapView | None, Meta(description="Where it leaves less than there is, or refuses.")]
    reset_at: Annotated[datetime | None, Meta(description="When that cap has its whole amount again.")]
    subscription_status: Annotated[str | None, Meta(description="Null: the customer has no subscription.")]
    overage_policy: Annotated[str, words(*OveragePolicy)]

    @classmethod
    def of(cls, look: Look, checked: Entitlement) -> "EntitlementView":
        standing, cost, cap = checked.standing, checked.cost, checked.cap
        return cls(
            allowed=checked.reason is None,
            reason=checked.reason,
            customer_id=look.customer_id,
            external_customer_id=look.external_id,
            billable_metric_key=checked.asked.feature,
            units=_shown(checked.asked.units),
            unit=checked.asked.unit,
            balance=standing.available + standing.held,
            reserved_balance=standing.held,
            effective_balance=standing.effective,
            estimated_cost=cost,
            balance_after=None if cost is None else standing.effective - cost,
            max_units=checked.most,
            rule=checked.asked.rule or None,
            spend_cap=None if cap is None else CapView.of(cap),
            reset_at=None if cap is None else instant(cap.reset_at_ms),
            subscription_status=None,
            overage_policy=standing.overage,
        )


class EntitlementList(Wire, frozen=True, kw_only=True):
    """In the order of the questions, all as of one moment."""

    data: list[EntitlementView]


def _shown(units: Number) -> int | str:
    return units if isinstance(units, int) else number_text(units)
