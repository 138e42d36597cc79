"""``idempotency:`` of a rule file: ``charge_once``, ``replay``, or ``{on_repeat: replay, keep: 1h}`` and the like."""

import re

from sidecar.config.cursor import Cursor
from sidecar.config.rule_match import header_name
from sidecar.domain.idempotency import Idempotency, OnRepeat
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import AnyPrice

KEYS = ("on_repeat", "header", "required", "keep")
KEEP = re.compile(r"[1-9][0-9]{0,4}[smh]\Z", re.ASCII)
_WAYS = tuple(OnRepeat)
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000}
_KEEP_MAX_MS = 86_400_000


def read_idempotency(cursor: Cursor) -> Idempotency | None:
    """How repetitions are told; None beside any problem."""
    before = len(cursor.problems)
    if not isinstance(cursor.value, dict):
        way = cursor.choice(_WAYS, "what becomes of a repetition")
        return Idempotency(on_repeat=OnRepeat(way)) if way else None
    entries = cursor.entries(KEYS, ", ".join(KEYS))
    if "on_repeat" not in entries:
        cursor.problem("no `on_repeat`: what becomes of a repetition?", f"one of {', '.join(_WAYS)}")
        return None
    way = entries["on_repeat"].choice(_WAYS, "what becomes of a repetition")
    header = header_name(entries["header"]) if "header" in entries else b"idempotency-key"
    required = "required" in entries and entries["required"].flag() is True
    keep_ms = _keep(entries["keep"]) if "keep" in entries else _KEEP_MAX_MS
    if way is None or header is None or len(cursor.problems) > before:
        return None
    return Idempotency(on_repeat=OnRepeat(way), header=header, required=required, keep_ms=keep_ms)


def check_idempotency(cursor: Cursor, price: AnyPrice) -> None:
    """Report a price that is another one for each repetition: what was charged before says little about it."""
    if countings_in(price):
        cursor.problem(
            "a price that counts over a period cannot be charged once: each repetition would be counted",
            "leave `idempotency` out",
            at_key=True,
        )


def _keep(cursor: Cursor) -> int:
    text = cursor.text("how long, such as 10m or 24h")
    if text is None:
        return 0
    if KEEP.match(text) is None:
        cursor.problem(f"`{text}` is not a duration", "a whole number with s, m or h, such as 10m or 24h")
        return 0
    keep_ms = int(text[:-1]) * _UNITS_MS[text[-1]]
    if keep_ms > _KEEP_MAX_MS:
        cursor.problem(f"`{text}` is too long", "charges are remembered for 24h at most")
    return keep_ms
