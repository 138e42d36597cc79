"""``idempotency:`` of a rule file: ``charge_once``, ``replay``, or ``{on_repeat: replay, keep: 1h}`` and the like."""

from sidecar.config.cursor import Cursor
from sidecar.config.durations import Duration
from sidecar.config.rule_match import header_name
from sidecar.domain.idempotency import Idempotency, OnRepeat
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import AnyPrice

KEYS = ("on_repeat", "header", "required", "keep")
KEEP = Duration(("s", "m", "h"), "24h", "10m or 24h", instead="charges are remembered for 24h at most")
_WAYS = tuple(OnRepeat)


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
    keep_ms = KEEP.read_ms(entries["keep"]) if "keep" in entries else KEEP.most_ms
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
