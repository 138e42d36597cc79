"""``retry:`` of a rule file: ``{after: [connect, reset, 503], most: 2}``."""

from sidecar.config.cursor import Cursor
from sidecar.domain.retries import CAUSES, MOST, NEVER, STATUSES, Retry

KEYS = ("after", "most")
_WANTED = f"{', '.join(CAUSES)} and statuses such as 502 or 503"


def read_retry(cursor: Cursor) -> Retry:
    """What is tried again; `NEVER` beside any problem. The rule says with it that its requests may come twice."""
    entries = cursor.entries(KEYS, "after and most")
    causes, statuses = set[str](), set[int]()
    if "after" not in entries:
        cursor.problem("no `after`: which failures are tried again?", "after: [connect, reset, 503]")
        return NEVER
    for item in entries["after"].items(f"a list of {_WANTED}"):
        if item.value in CAUSES:
            causes.add(item.value)
        elif item.value in STATUSES:
            statuses.add(item.value)
        else:
            allowed = ", ".join(map(str, sorted(STATUSES)))
            item.problem("nothing is tried again after this", f"{', '.join(CAUSES)}, or one of {allowed}")
    if not causes and not statuses:
        return NEVER
    most = 1
    if "most" in entries:
        value = entries["most"].value
        if type(value) is int and 1 <= value <= MOST:
            most = value
        else:
            entries["most"].problem("not a number of further attempts", f"a whole number from 1 to {MOST}")
    return Retry(frozenset(causes), frozenset(statuses), most)
