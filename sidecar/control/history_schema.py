"""The ledger's past on the wire: entries, usage, and what can be asked of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from sidecar.control.credit_schema import Instant, UnitName
from sidecar.control.period_schema import PeriodView
from sidecar.control.schema import CURSOR_MAX, LIMIT_DEFAULT, Asked, Pagination, Wire, instant
from sidecar.domain.amounts import Unit, render
from sidecar.domain.clocks import zone_of
from sidecar.domain.counters import Counted
from sidecar.domain.history import Entry, UsageBy, UsageRow
from sidecar.domain.journal import Kind, Totals
from sidecar.domain.notes import told_apart

ENTRIES_MAX = 500

Word = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f]*$(?!\n)")]
Cursor = Annotated[str, Meta(min_length=1, max_length=CURSOR_MAX)]
Limit = Annotated[int, Meta(ge=1, le=ENTRIES_MAX)]
Since = Annotated[Instant, Meta(description="From this instant on.")]
Until = Annotated[Instant, Meta(description="Before this instant.")]
Types = Annotated[str, Meta(min_length=1, max_length=255, description=f"Some of {', '.join(Kind)}, with commas.")]
_GROUPS = (
    f"One or two of {', '.join(UsageBy)}, or of what prices were chosen by: request.<field>, header.<Name>, "
    "query.<name>, path.<name>, response.status, response.header.<Name>."
)
Groups = Annotated[str, Meta(min_length=1, max_length=255, description=_GROUPS)]


Clock = Annotated[Word, Meta(description="The time zone whose hours and days are meant: Europe/Berlin, UTC, …")]


class EntriesWanted(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """Which entries of the ledger: those that are all of this."""

    type: Types | None = None
    unit: UnitName | None = None
    reservation_id: Word | None = None
    feature: Word | None = None
    rule: Word | None = None
    since: Since | None = None
    until: Until | None = None


class LedgerQuery(EntriesWanted, frozen=True, kw_only=True):
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


class ExportQuery(EntriesWanted, frozen=True, kw_only=True):
    format: Literal["ndjson", "csv"] = "ndjson"


class UsageQuery(Asked, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    group_by: Groups
    customer_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    unit: UnitName | None = None
    since: Since | None = None
    until: Until | None = None
    tz: Clock = "UTC"
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


class TotalsView(Wire, frozen=True, kw_only=True):
    """granted = scheduled + available + held + spent + expired + voided; `owed` is debt beside it."""

    granted: int
    scheduled: int
    available: int
    held: int
    spent: int
    expired: int
    voided: int
    owed: int

    @classmethod
    def of(cls, totals: Totals) -> "TotalsView":
        return cls(**{name: getattr(totals, name) for name in cls.__struct_fields__})


class MoveView(Wire, frozen=True, kw_only=True):
    what: Annotated[str, Meta(description="granted, spent, expired, voided, owed or repaid.")]
    block_id: Annotated[str | None, Meta(description="null for what no block covered.")]
    amount: int


class CountedView(Wire, frozen=True, kw_only=True):
    """That a commit counted."""

    counter: str
    period: str
    units: int
    position: Annotated[int, Meta(description="Where the counter stood then.")]

    @classmethod
    def of(cls, counted: Counted) -> "CountedView":
        return cls(counter=counted.name, period=counted.period, units=counted.units, position=counted.position)


class EntryDisplay(Wire, frozen=True, kw_only=True):
    """Amounts as decimals of their unit."""

    delta: str
    owed_delta: str
    balance_after: str
    owed_after: str
    charged: str


class EntryView(Wire, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the ledger; what does not apply to it is left out."""

    entry_id: str
    type: str
    customer_id: Annotated[str, Meta(description="Whose account it is: who pays.")]
    unit: str
    seq: Annotated[int, Meta(description="Counts the entries of the account, without gaps.")]
    event_time: Annotated[datetime, Meta(description="When it happened.")]
    recorded_at: datetime
    delta: Annotated[int, Meta(description="What it changed of the balance: scheduled + available + held.")]
    owed_delta: Annotated[int, Meta(description="What it changed of the debt.")]
    balance_after: int
    after: TotalsView
    moves: list[MoveView]
    display: EntryDisplay | UnsetType = UNSET
    block_id: Annotated[str, Meta(description="The block that it is about.")] = ""
    expires_at: Annotated[datetime | None, Meta(description="Of this block.")] = None
    reservation_id: Annotated[str, Meta(description="What it settles; of a transfer, the transfer's id.")] = ""
    asked_by: Annotated[str, Meta(description="The customer whose request it was: the payer, or a member.")] = ""
    feature: str = ""
    rule: str = ""
    rules_version: Annotated[str, Meta(description="Of the rule files by which it was priced.")] = ""
    reserved_at: datetime | None = None
    held: int = 0
    charged: int = 0
    owed: Annotated[int, Meta(description="The part of `charged` that became debt.")] = 0
    uncollected: Annotated[int, Meta(description="The part of the cost that was let go.")] = 0
    usage: str = ""
    model: str = ""
    source: Annotated[str, Meta(description="Of a grant, where it comes from; of a cost, how it is known.")] = ""
    reason: str = ""
    reference_entry_id: Annotated[str, Meta(description="The entry that it corrects, or gives back.")] = ""
    purchase_id: Annotated[str, Meta(description="Of a purchase, and of what was bought.")] = ""
    counterparty_customer_id: Annotated[str, Meta(description="Of a transfer, the other customer.")] = ""
    period: Annotated[PeriodView | None, Meta(description="Of a closed period, what became of it.")] = None
    actor: Annotated[dict[str, str] | None, Meta(description="Who asked for it, as the request said.")] = None
    metadata: Annotated[dict[str, str] | None, Meta(description="What its caller noted.")] = None
    counted: Annotated[tuple[CountedView, ...], Meta(description="What it counted over periods, for its price.")] = ()
    prev_hash: str
    hash: str

    @classmethod
    def of(cls, entry: Entry, unit: Unit | None) -> "EntryView":
        """`unit` None: it is not configured any more, so nobody knows its decimals."""
        after, grant, block = entry.after, entry.grant, entry.block
        ends_at_ms = None if block is None else block.expires_at_ms
        balance = after.scheduled + after.available + after.held
        asked, metadata = told_apart(entry.detail)
        names = ("why", "reference", "counterparty", "purchase", "period")
        why, reference, other, purchase_id, period = (asked.pop(name, "") for name in names)
        return cls(
            entry_id=entry.entry_id,
            type=entry.type,
            customer_id=entry.customer_id,
            unit=entry.unit,
            seq=entry.seq,
            event_time=instant(entry.event_at_ms),
            recorded_at=instant(entry.recorded_at_ms),
            delta=entry.delta,
            owed_delta=entry.owed_delta,
            balance_after=balance,
            after=TotalsView.of(after),
            moves=[
                MoveView(what=move.what.name.lower(), block_id=move.block_id or None, amount=move.amount)
                for move in entry.moves
            ],
            display=_display(entry, balance, unit) if unit else UNSET,
            block_id=entry.block_id,
            expires_at=None if ends_at_ms is None else instant(ends_at_ms),
            reservation_id=entry.reservation_id,
            asked_by=entry.asker_id,
            feature=entry.feature,
            rule=entry.rule,
            rules_version=entry.rules_version,
            reserved_at=instant(entry.reserved_at_ms) if entry.reserved_at_ms else None,
            held=entry.held,
            charged=entry.charged,
            owed=entry.owed,
            uncollected=entry.uncollected,
            usage=entry.usage,
            model=entry.model,
            source=grant.source if grant else entry.source,
            reason=grant.reason if grant else entry.reason or why,
            reference_entry_id=reference,
            purchase_id=purchase_id,
            counterparty_customer_id=other,
            period=PeriodView.of_entry(period) if period else None,
            actor=asked or None,
            metadata=metadata or None,
            counted=tuple(map(CountedView.of, entry.counted)),
            prev_hash=entry.prev_hash,
            hash=entry.hash,
        )


class EntryPage(Wire, frozen=True, kw_only=True):
    data: list[EntryView]
    pagination: Pagination


class UsageDisplay(Wire, frozen=True, kw_only=True):
    charged: str
    estimated: str
    owed: str
    uncollected: str


class UsageView(Wire, frozen=True, kw_only=True):
    """What one group used in one unit."""

    group: Annotated[dict[str, str], Meta(description="By what was asked for; hours and days by their start.")]
    unit: str
    entries: Annotated[int, Meta(description="How many commits; each step of a reservation counts.")]
    charged: int
    estimated: Annotated[int, Meta(description="The part of `charged` that the upstream did not report.")]
    owed: int
    uncollected: int
    late: Annotated[int, Meta(description="How many commits came after their hold had expired.")]
    held: Annotated[
        int, Meta(description="What had been held for the requests that ended: what they were estimated to cost.")
    ]
    above_hold: Annotated[int, Meta(description="By how much requests cost more than was held for them.")]
    refunded: Annotated[
        int, Meta(description="Given back in this time, of charges then or before: net is charged - refunded.")
    ]
    meters: dict[str, int | float]
    display: UsageDisplay | UnsetType = UNSET

    @classmethod
    def of(cls, row: UsageRow, units: Mapping[str, Unit], tz: str) -> "UsageView":
        unit = units.get(row.unit)
        names = UsageDisplay.__struct_fields__
        return cls(
            # What is a number here is the start of an hour or a day.
            group={key: _start(value, tz) if isinstance(value, int) else value for key, value in row.group.items()},
            unit=row.unit,
            entries=row.entries,
            charged=row.charged,
            estimated=row.estimated,
            owed=row.owed,
            uncollected=row.uncollected,
            late=row.late,
            held=row.held,
            above_hold=row.above_hold,
            refunded=row.refunded,
            meters=row.meters,
            display=UsageDisplay(**{name: render(getattr(row, name), unit) for name in names}) if unit else UNSET,
        )


class UsagePage(Wire, frozen=True, kw_only=True):
    data: list[UsageView]
    pagination: Pagination


def _display(entry: Entry, balance: int, unit: Unit) -> EntryDisplay:
    return EntryDisplay(
        delta=render(entry.delta, unit),
        owed_delta=render(entry.owed_delta, unit),
        balance_after=render(balance, unit),
        owed_after=render(entry.after.owed, unit),
        charged=render(entry.charged, unit),
    )


def _start(epoch_ms: int, tz: str) -> str:
    return instant(epoch_ms).astimezone(zone_of(tz)).isoformat().replace("+00:00", "Z")
