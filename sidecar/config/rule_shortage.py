"""``on_short:`` of a rule file: what happens when a hold does not fit, checked against what the hold depends on."""

import re

from sidecar.config.cursor import Cursor
from sidecar.config.durations import Duration
from sidecar.config.problems import suggestion
from sidecar.config.rule_price import parsed, rated_meters
from sidecar.domain.clamp import Clamp
from sidecar.domain.price import parse_count
from sidecar.domain.quotes import Quoter
from sidecar.domain.shortage import DENY, Shortage

_FIELD = r"(?:query\.[A-Za-z0-9._~\[\]-]+|[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
CLAMPED = re.compile(rf"{_FIELD}\Z", re.ASCII)
WAIT = Duration(
    ("ms", "s", "m"),
    "60s",
    "2s or 500ms",
    too_long="is too long: a client would give up before",
    instead="wait 60s at most",
)
ON_SHORT = re.compile(rf"(?:deny|wait +(?P<wait>{WAIT.text})|clamp +(?P<field>{_FIELD}))\Z", re.ASCII)
"""The short form."""
_WAYS = "`deny`, `wait` and how long, or `clamp` and a field of the request: wait 2s, clamp max_tokens"


def read_shortage(cursor: Cursor) -> Shortage:
    """``deny``, ``wait 2s``, ``clamp max_tokens``, or ``{wait: 2s, clamp: [max_completion_tokens, max_tokens]}``."""
    if isinstance(cursor.value, dict):
        return _read_ways(cursor)
    text = cursor.text(_WAYS)
    if text is None:
        return DENY
    match = ON_SHORT.match(text)
    if match is None:
        cursor.problem(f"`{text}` is not a way out", f"write {_WAYS}")
        return DENY
    wait_ms = WAIT.bounded_ms(cursor, match["wait"]) if match["wait"] else 0
    return Shortage(wait_ms=wait_ms, clamp=Clamp((match["field"],)) if match["field"] else None)


def _read_ways(cursor: Cursor) -> Shortage:
    entries = cursor.entries(("wait", "clamp", "least"), "wait, clamp, and least")
    if "clamp" not in entries and ("least" in entries or not entries):
        cursor.problem("no `clamp`: which field shall be lowered?", "add `clamp: max_tokens`, or leave this out")
        return DENY
    wait_ms = WAIT.read_ms(entries["wait"]) if "wait" in entries else 0
    if "clamp" not in entries:
        return Shortage(wait_ms=wait_ms)
    least = _least(entries["least"]) if "least" in entries else 1
    return Shortage(wait_ms=wait_ms, clamp=Clamp(_fields(entries["clamp"]), least))


def check_shortage(cursor: Cursor, shortage: Shortage, quoter: Quoter) -> None:
    """A field that nothing is held for cannot be lowered to any effect."""
    if shortage.clamp is None:
        return
    known = _held_by(quoter)
    for field in shortage.clamp.fields:
        if field not in known:
            cursor.problem(
                f"`{field}` cannot be clamped: the hold does not depend on it",
                suggestion(field, sorted(known), listing="it depends on") or "add a term that reads it to `hold`",
            )


def _held_by(quoter: Quoter) -> set[str]:
    """What of a request its hold rises and falls with."""
    if quoter.recent is not None:
        return set()
    rated = set(rated_meters(quoter.price))
    terms = {} if isinstance(quoter.hold, int) else quoter.hold
    fields = {field for meter, term in terms.items() if meter in rated for field in term.fields}
    return fields | {told.place for meter, told in quoter.tariff.meters.requests if meter in rated and told.place}


def _fields(cursor: Cursor) -> tuple[str, ...]:
    fields: list[str] = []
    for item in cursor.one_or_items("a field of the request, or a list of them"):
        field = item.text("a field of the request such as max_tokens")
        if field is not None and not CLAMPED.match(field):
            item.problem(f"`{field}` is not a field of a request", "write its name, or query.<name> for a parameter")
        elif field in fields:
            item.problem(f"`{field}` stands here twice", "leave one of them out")
        elif field is not None:
            fields.append(field)
    return tuple(fields)


def _least(cursor: Cursor) -> int:
    return parsed(cursor, cursor.written("a whole number above 0"), parse_count, "a count") or 1
