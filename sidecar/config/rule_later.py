"""``settle:`` of a rule file: ``later``, or ``{on: [202], within: 24h}``."""

import re

from sidecar.config.cursor import Cursor
from sidecar.config.rule_answers import read_statuses
from sidecar.domain.later import Later
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import AnyPrice

KEYS = ("on", "within")
LATER = "later"
WITHIN = re.compile(r"[1-9][0-9]{0,4}[smhd]\Z", re.ASCII)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WITHIN_MAX_S = 30 * 86_400


def read_later(cursor: Cursor) -> Later | None:
    """When the rule's requests are settled later; None beside any problem."""
    before = len(cursor.problems)
    if not isinstance(cursor.value, dict):
        return Later() if cursor.choice((LATER,), "when a request is settled") else None
    entries = cursor.entries(KEYS, ", ".join(KEYS))
    on = read_statuses(entries["on"]) if "on" in entries else Later().on
    within_s = _within(entries["within"]) if "within" in entries else Later().within_s
    return Later(on=on, within_s=within_s) if len(cursor.problems) == before else None


def check_later(cursor: Cursor, price: AnyPrice) -> None:
    """Report a price that nobody can name beforehand."""
    if countings_in(price):
        cursor.problem(
            "a price that counts over a period cannot be kept for later: nobody knows where it stands then",
            "leave `settle` out",
            at_key=True,
        )


def _within(cursor: Cursor) -> int:
    text = cursor.text("how long, such as 2h or 7d")
    if text is None:
        return 0
    if WITHIN.match(text) is None:
        cursor.problem(f"`{text}` is not a duration", "a whole number with s, m, h or d, such as 2h or 7d")
        return 0
    within_s = int(text[:-1]) * _UNITS_S[text[-1]]
    if within_s > _WITHIN_MAX_S:
        cursor.problem(f"`{text}` is too long", "30d at most")
    return within_s
