"""Reports on the wire: what is most, how much there is, what was refused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from sidecar.control.credit_schema import UnitName
from sidecar.control.history_schema import Clock, Cursor, Groups, Limit, Since, TotalsView, Until, UsageView
from sidecar.control.schema import LIMIT_DEFAULT, Asked, Wire
from sidecar.domain.amounts import CREDITS
from sidecar.domain.history import Stats, UsageBy

TOP_MAX = 100
DENIED_BY = ("code", "rule", "customer", "hour", "day")
DENIED_MAX = 1_000

By = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description=f"One of {', '.join(UsageBy)}, or what prices were chosen by, such as request.size.",
    ),
]


class TopQuery(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    by: By = UsageBy.CUSTOMER.value
    unit: UnitName = CREDITS.name
    since: Since | None = None
    until: Until | None = None
    tz: Clock = "UTC"
    limit: Annotated[int, Meta(ge=1, le=TOP_MAX)] = 10


class TopView(Wire, frozen=True, kw_only=True):
    """What was charged most, the most first."""

    data: list[UsageView]


class CustomerUsageQuery(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    group_by: Groups = UsageBy.FEATURE.value
    unit: UnitName | None = None
    since: Since | None = None
    until: Until | None = None
    tz: Clock = "UTC"
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


class UnitStats(Wire, frozen=True, kw_only=True):
    unit: str
    accounts: int
    totals: TotalsView


class StatsView(Wire, frozen=True, kw_only=True):
    """How much of everything there is."""

    customers: Annotated[dict[str, int], Meta(description="By status.")]
    entries: Annotated[int, Meta(description="Of the ledger.")]
    units: Annotated[list[UnitStats], Meta(description="All accounts of a unit together.")]

    @classmethod
    def of(cls, stats: Stats) -> "StatsView":
        return cls(
            customers=stats.customers,
            entries=stats.entries,
            units=[
                UnitStats(unit=each.unit, accounts=each.accounts, totals=TotalsView.of(each.totals))
                for each in stats.units
            ],
        )


class DenialsQuery(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    group_by: Annotated[
        str, Meta(min_length=1, max_length=64, description=f"Some of {', '.join(DENIED_BY)}, with commas.")
    ] = "code"
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    since: (
        Annotated[datetime, Meta(tz=True, description="From the hour of this instant on; a day ago if not given.")]
        | None
    ) = None
    until: Until | None = None


class DenialView(Wire, frozen=True, kw_only=True):
    group: dict[str, str]
    count: int

    @classmethod
    def of(cls, group: Mapping[str, str], count: int) -> "DenialView":
        return cls(group=dict(group), count=count)


class DenialsView(Wire, frozen=True, kw_only=True):
    """What the proxies have refused, the most first."""

    data: list[DenialView]
