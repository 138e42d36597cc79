"""Spend caps: how much of a unit a customer may spend in a window of time, whatever its balance is.

What counts is what settlements have charged and what open holds keep, of what was reserved in the window: a hold
stays in the one in which it was taken. That is a counter (see `counters`) for each window, or for each step of one
that goes along with time. Instants are ms since 1970; the store decides by the same sums, in `lua/shared/caps.lua`.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from sidecar.domain.amounts import Unit, render
from sidecar.domain.clocks import ahead_s, changes, zone_of
from sidecar.domain.counters import Counter, cap_counter
from sidecar.domain.errors import StoreCorrupt

ROLLING_STEPS: Final = 24
"""A window that goes along with time has so many steps: what was spent may count for one of them longer."""
ROLLING_MIN_MS: Final = 60_000
ROLLING_MAX_MS: Final = 31 * 86_400_000
WHOLE: Final = 100
"""All of a cap, in percent."""
NOTHING: Final = "-"
"""In place of an empty word of a cap in the store."""
_CLOCK_YEARS: Final = 10
_DAY_MS: Final = 86_400_000


class Window(StrEnum):
    """A window of the calendar, by the cap's clock."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def span(self) -> str:
        """As a refusal says it."""
        return f"in {'an' if self is Window.HOUR else 'a'} {self}"


class CapScope(StrEnum):
    """What of a customer's requests a cap counts."""

    TOTAL = "total"
    FEATURE = "feature"
    RULE = "rule"
    KEY = "key"


class SpendCap(msgspec.Struct, frozen=True, kw_only=True):
    """At most `amount` base units of `unit` in each window."""

    cap_id: str
    unit: str
    amount: int
    window: Window | None = None
    """None: the last `rolling_ms`."""
    rolling_ms: int = 0
    tz: str = "UTC"
    scope: CapScope = CapScope.TOTAL
    of: str = ""
    """Which feature, which rule, or the id of which proxy key."""
    blocks: bool = True
    """False: nothing is refused; it counts."""
    warn_at: tuple[int, ...] = ()
    """Percentages of the amount that are told once they are reached."""
    created_at_ms: int

    def passed(self, before: int, after: int) -> list[int]:
        """Which percentages, of those that are told and the whole, were reached between two sums that were spent."""
        told = sorted({*self.warn_at, WHOLE})
        return [each for each in told if before * 100 < each * self.amount <= after * 100]

    def counters(self, now_ms: int) -> list[Counter]:
        """Those that count at `now_ms`, the newest first."""
        if self.window is not None:
            start_ms, end_ms = window_at(self.window, self.tz, now_ms)
            return [cap_counter(self.cap_id, start_ms, end_ms)]
        step_ms = -(-self.rolling_ms // ROLLING_STEPS)
        newest_ms = now_ms - now_ms % step_ms
        starts = range(newest_ms, now_ms - self.rolling_ms - step_ms, -step_ms)
        return [cap_counter(self.cap_id, start, start + step_ms + self.rolling_ms) for start in starts]


class CapStand(msgspec.Struct, frozen=True):
    """How a cap stands: what was spent and is held in its window, and when all of that counts no more."""

    cap: SpendCap
    spent: int
    held: int
    reset_at_ms: int

    @property
    def reached(self) -> list[int]:
        """Those percentages of its cap that are reached."""
        return [each for each in self.cap.warn_at if (self.spent + self.held) * 100 >= each * self.cap.amount]


class Capped(msgspec.Struct, frozen=True, kw_only=True):
    """The cap that refused a request, and how it stood.

    `wait_ms`: until the request fits; 0: when enough comes back of what is held, nobody knows when; None: never.
    """

    cap_id: str
    scope: CapScope
    of: str = ""
    window: Window | None = None
    rolling_ms: int = 0
    amount: int
    spent: int
    held: int
    reset_at_ms: int
    wait_ms: int | None


def told_of(capped: Capped) -> dict[str, object]:
    """What a problem says of the cap that refused, as further members."""
    told: dict[str, object] = {"cap_id": capped.cap_id, "scope": capped.scope.value}
    if capped.scope is not CapScope.TOTAL:
        told["key_id" if capped.scope is CapScope.KEY else capped.scope.value] = capped.of
    if capped.window is None:
        told["rolling_seconds"] = capped.rolling_ms // 1000
    else:
        told["window"] = capped.window.value
    reset_at = datetime.fromtimestamp(capped.reset_at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")
    return told | {"amount": capped.amount, "spent": capped.spent, "held": capped.held, "reset_at": reset_at}


def said_of(capped: Capped, required: int, unit: Unit) -> str:
    """The same in words."""
    window = capped.window.span if capped.window is not None else f"within {capped.rolling_ms // 1000} seconds"
    amount, spent, held, needed = (
        render(each, unit) for each in (capped.amount, capped.spent, capped.held, required)
    )
    return (
        f"The spend cap {capped.cap_id} lets {amount} {unit.name} be spent {window}; {spent} are spent and {held} "
        f"are held, and this needs {needed}."
    )


def caps_of(lines: str, unit: str) -> list[SpendCap]:
    """The caps of a customer in a unit, as the store has them. Raises StoreCorrupt for what is none of ours."""
    try:
        return [_cap(line.split(" "), unit) for line in lines.split("\n") if line]
    except (ValueError, msgspec.ValidationError) as error:
        raise StoreCorrupt(f"A customer has the spend caps {lines!r}.") from error


def _cap(words: list[str], unit: str) -> SpendCap:
    cap_id, amount, action, scope, of, window, _, tz, warn_at, created_at_ms = words
    return SpendCap(
        cap_id=cap_id,
        unit=unit,
        amount=int(amount),
        window=None if window.isdigit() else Window(window),
        rolling_ms=int(window) if window.isdigit() else 0,
        tz=tz,
        scope=CapScope(scope),
        of="" if of == NOTHING else of,
        blocks=action == "block",
        warn_at=() if warn_at == NOTHING else tuple(map(int, warn_at.split(","))),
        created_at_ms=int(created_at_ms),
    )


def window_at(window: Window, tz: str, now_ms: int) -> tuple[int, int]:
    """The start and the end of the window that `now_ms` is in, ms."""
    zone, now_s = zone_of(tz), now_ms // 1000
    now = datetime.fromtimestamp(now_s, zone)
    if window is Window.HOUR:
        start_s = now_s - (now_s + ahead_s(zone, now_s)) % 3600
        return start_s * 1000, (start_s + 3600) * 1000
    first = now.date()
    following = first + timedelta(days=1)
    if window is Window.WEEK:
        first -= timedelta(days=first.weekday())
        following = first + timedelta(days=7)
    elif window is Window.MONTH:
        first = first.replace(day=1)
        following = (first + timedelta(days=31)).replace(day=1)
    begins = (datetime(day.year, day.month, day.day, tzinfo=zone) for day in (first, following))
    start_ms, end_ms = (int(each.timestamp()) * 1000 for each in begins)
    return start_ms, end_ms


def clock_of(tz: str, now_ms: int) -> str:
    """How far the clocks of a zone are ahead of UTC, for the store: from a window ago on, for the next ten years."""
    first_day = now_ms // _DAY_MS - 40
    first, *later = changes(zone_of(tz), first_day * 86_400, (first_day + 366 * _CLOCK_YEARS) * 86_400)
    return ",".join([str(first[1]), *(f"{from_s}:{ahead}" for from_s, ahead in later)])
