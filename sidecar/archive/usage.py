"""What was used, added up: commits by one or two of feature, rule, customer, model, source, hour and day.

Or by a dimension that their price was chosen by, which is looked for in the text of their usage.
Units are never mixed: each has rows of its own. A reservation in several units shows its meters in each of them.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Numeric, Select, case, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from sidecar.archive import schema
from sidecar.archive.database import Database, Transaction
from sidecar.archive.history import in_time
from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.domain.clocks import changes, day_begins_ms, zone_of
from sidecar.domain.errors import InvalidInput
from sidecar.domain.history import Page, UsageBy, UsageRow
from sidecar.domain.journal import Kind
from sidecar.domain.metering import Source
from sidecar.domain.usage_words import unquoted

_COMMITS = (Kind.COMMIT.value, Kind.LATE_COMMIT.value, Kind.STEP_COMMIT.value)
_HOUR_MS = 3_600_000
_FIRST_S, _LAST_S = 1_735_689_600, 2_366_841_600  # 2025 and 2045: no entry is older.
_SPANS_MS: dict[str, int] = {UsageBy.HOUR: _HOUR_MS, UsageBy.DAY: 24 * _HOUR_MS}

Keys = tuple[str | int, ...]


class Clock(NamedTuple):
    """The clocks of a time zone, and since when they have been so far ahead of UTC, in seconds."""

    tz: str
    changes: tuple[tuple[int, int], ...]


@lru_cache(maxsize=256)
def clock_between(tz: str, from_ms: int | None, to_ms: int | None) -> Clock:
    """For entries of this time. InvalidInput: there is no such zone."""
    first_s = _FIRST_S if from_ms is None else from_ms // 1000
    last_s = max(_LAST_S, first_s) if to_ms is None else to_ms // 1000
    return Clock(tz, tuple(changes(zone_of(tz), first_s, last_s)))


async def usage_page(
    database: Database,
    group_by: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
    cursor: str | None,
    limit: int,
    clock: Clock,
) -> Page[UsageRow]:
    """In the order of the groups, then of the units. Hours and days are those of `clock`."""
    checked_limit(limit)
    groups = _groups(group_by, clock, postgresql=not database.address.path)
    keys = (*groups, schema.entries.c.unit)
    statement = _commits(conditions, refunds=True).group_by(*keys).order_by(*keys).limit(limit + 1)
    if cursor is not None:
        kinds = [*(int if each in _SPANS_MS else str for each in group_by), str]
        statement = statement.where(_tuple(keys) > _literals(mark_of(cursor, kinds)))
    async with database.reading() as transaction:
        rows = (await transaction.connection.execute(statement.add_columns(*keys, *_sums()))).all()
        found = [tuple(row)[: len(keys)] for row in rows[:limit]]
        meters = await _meters(transaction, _commits(conditions), keys, found)
    items = tuple(
        _row(group_by, place, row._mapping, meters.get(place, {}), clock.tz)
        for place, row in zip(found, rows, strict=False)
    )
    return Page(items, cursor_of(found[-1]) if len(rows) > limit else None)


def _row(
    group_by: Sequence[str], place: Keys, sums: Mapping[Any, Any], meters: dict[str, int | float], tz: str
) -> UsageRow:
    return UsageRow(
        group={str(by): _shown(by, key, tz) for by, key in zip(group_by, place[:-1], strict=True)},
        unit=str(place[-1]),
        meters=meters,
        **{name: int(amount) for name, amount in sums.items() if name in _SUM_NAMES},
    )


def usage_conditions(
    from_ms: int | None, to_ms: int | None, customer_id: str | None, asker_id: str | None, unit: str | None
) -> list[ColumnElement[bool]]:
    """Which commits count."""
    table = schema.entries
    given = ((table.c.customer_id, customer_id), (table.c.asker_id, asker_id), (table.c.unit, unit))
    return in_time(from_ms, to_ms) + [column == value for column, value in given if value is not None]


async def top_usage(
    database: Database, by: str, conditions: Sequence[ColumnElement[bool]], limit: int, clock: Clock
) -> tuple[UsageRow, ...]:
    """The groups that were charged most, the most first; of one unit, as the conditions say."""
    (group,) = _groups([by], clock, postgresql=not database.address.path)
    keys = (group, schema.entries.c.unit)
    charged = case((schema.entries.c.type == Kind.REFUND.value, 0), else_=schema.entries.c.charged)
    most = func.sum(charged).desc()
    statement = _commits(conditions, refunds=True).group_by(*keys).order_by(most, *keys).limit(checked_limit(limit))
    async with database.reading() as transaction:
        rows = (await transaction.connection.execute(statement.add_columns(*keys, *_sums()))).all()
    return tuple(_row([by], tuple(row)[:2], row._mapping, {}, clock.tz) for row in rows)


_SUM_NAMES = ("entries", "charged", "estimated", "owed", "uncollected", "late", "held", "above_hold", "refunded")


def _sums() -> list[ColumnElement[Any]]:
    table = schema.entries
    refund, late = table.c.type == Kind.REFUND.value, table.c.type == Kind.LATE_COMMIT.value
    # Steps have taken their part out of the hold before the end; the end says what is left of it, and that part.
    ended = table.c.type.in_([Kind.COMMIT.value, Kind.LATE_COMMIT.value])
    above = table.c.charged > table.c.held
    sums = {
        "entries": case((refund, 0), else_=1),
        "charged": case((refund, 0), else_=table.c.charged),
        "estimated": case((~refund & (table.c.source != Source.REPORTED), table.c.charged), else_=0),
        "owed": case((refund, 0), else_=table.c.owed),
        "uncollected": case((refund, 0), else_=table.c.uncollected),
        "late": case((late, 1), else_=0),
        "held": case((ended, table.c.held + table.c.charged_before), else_=0),
        "above_hold": case((ended & above, table.c.charged - table.c.held), else_=0),
        "refunded": case((refund, table.c.charged), else_=0),
    }
    return [func.sum(sums[name]).label(name) for name in _SUM_NAMES]


def _groups(group_by: Sequence[str], clock: Clock, *, postgresql: bool) -> list[ColumnElement[Any]]:
    if not 1 <= len(group_by) <= 2 or len(set(group_by)) < len(group_by):
        raise InvalidInput(f"group_by must be one or two different ones of {', '.join(UsageBy)}.", "group_by")
    return [
        _group(by, clock) if isinstance(by, UsageBy) else _chosen_by(by, postgresql=postgresql) for by in group_by
    ]


def _chosen_by(name: str, *, postgresql: bool) -> ColumnElement[Any]:
    """The value of a dimension as it stands in the usage text, without its quotes; empty where there is none."""
    text = _written(" ") + schema.entries.c.usage
    start = f' {name}="'
    if postgresql:
        return func.split_part(func.split_part(text, _written(start), _written(2)), _written('"'), _written(1))
    # Another value stands behind it so that there is always an end to be found.
    begins = func.instr(text + _written(start + '"'), _written(start)) + _written(len(start))
    rest = func.substr(text + _written(start + '"'), begins)
    return func.substr(rest, _written(1), func.instr(rest, _written('"')) - _written(1))


def _written(value: str | int) -> ColumnElement[Any]:
    """As text, so that the same expression stands in SELECT, GROUP BY and ORDER BY."""
    return literal(value, literal_execute=True)


def _shown(by: str, key: str | int, tz: str) -> str | int:
    if by is UsageBy.DAY and isinstance(key, int):
        return day_begins_ms(tz, key)
    return key if isinstance(by, UsageBy) else unquoted(f'"{key}"') or ""


def _group(by: UsageBy, clock: Clock) -> ColumnElement[Any]:
    """An hour is the instant at which it begins; a day what the clocks show then, since they may be changed in it."""
    table = schema.entries
    span_ms = _SPANS_MS.get(by)
    if span_ms is not None:
        at_ms, clock_ms = table.c.event_at_ms, table.c.event_at_ms + _ahead_ms(clock)
        return (clock_ms if by is UsageBy.DAY else at_ms) - clock_ms % _written(span_ms)
    return table.c["asker_id" if by is UsageBy.CUSTOMER else by.value]


def _ahead_ms(clock: Clock) -> ColumnElement[Any]:
    """How far its zone's clocks were ahead of UTC when it was."""
    (_, before_s), *later = clock.changes
    if not later:
        return _written(before_s * 1000)
    ahead_s, at_ms = [before_s, *(ahead for _, ahead in later)], schema.entries.c.event_at_ms
    whens = [
        (at_ms < _written(from_s * 1000), _written(ahead * 1000))
        for (from_s, _), ahead in zip(later, ahead_s, strict=False)
    ]
    return case(*whens, else_=_written(ahead_s[-1] * 1000))


def _commits(conditions: Sequence[ColumnElement[bool]], *, refunds: bool = False) -> Select[Any]:
    types = (*_COMMITS, Kind.REFUND.value) if refunds else _COMMITS
    return select().where(schema.entries.c.type.in_(types), *conditions)


async def _meters(
    transaction: Transaction, commits: Select[Any], keys: Sequence[ColumnElement[Any]], found: Sequence[Keys]
) -> dict[Keys, dict[str, int | float]]:
    """The sums of the meters of each of the groups `found`, which are in order and have none between them."""
    if not found:
        return {}
    stored = schema.entries.c.meters
    if transaction.connection.dialect.name == "postgresql":
        readings = func.jsonb_each_text(cast(stored, JSONB)).table_valued("key", "value")
        read: ColumnElement[Any] = cast(readings.c.value, Numeric)
    else:
        readings = func.json_each(stored).table_valued("key", "value")
        read = readings.c.value
    statement = (
        commits.add_columns(*keys, readings.c.key, func.sum(read))
        .select_from(schema.entries)
        .join(readings, literal(True))
        .where(_tuple(keys) >= _literals(found[0]), _tuple(keys) <= _literals(found[-1]))
        .group_by(*keys, readings.c.key)
    )
    sums: dict[Keys, dict[str, int | float]] = {}
    for *place, meter, amount in await transaction.connection.execute(statement):
        sums.setdefault(tuple(place), {})[meter] = _number(amount)
    return sums


def _number(amount: Decimal | float) -> int | float:
    return int(amount) if amount == int(amount) else float(amount)


def _tuple(keys: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    return tuple_(*keys)


def _literals(values: Keys) -> ColumnElement[Any]:
    return tuple_(*(literal(value) for value in values))
