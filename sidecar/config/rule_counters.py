"""``over:`` and ``counter:`` in a price of a rule file: what is counted over a period, and under which name."""

import re
from collections.abc import Iterable, Mapping

from sidecar.config.cursor import Cursor
from sidecar.domain.counters import Counting, Over
from sidecar.domain.price_counted import counted_in, countings_in
from sidecar.domain.price_list import AnyPrice, leaves
from sidecar.domain.shortage import DENY, Shortage

COUNTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
OVER = tuple(str(over) for over in Over)


def read_counting(entries: Mapping[str, Cursor], default_name: str) -> Counting | None:
    """What a schedule with these `entries` counts over; None when it begins anew with each request."""
    over = entries["over"].choice(OVER, "a period") if "over" in entries else Over.EVENT
    name = entries["counter"].text("the name of a counter") if "counter" in entries else default_name
    if "counter" in entries and name is not None and COUNTER.match(name) is None:
        entries["counter"].problem(
            f"`{name}` cannot be the name of a counter", "1 to 64 letters, digits, `.`, `_` and `-`"
        )
    if over is None or over == Over.EVENT:
        if over is not None and "counter" in entries:
            entries["counter"].problem(
                "no effect: nothing is counted over a period", "add `over: month`", at_key=True
            )
        return None
    return Counting(name or default_name, Over(over))


def check_counters(priced: Iterable[tuple[AnyPrice, Cursor]]) -> None:
    """Report counters of rules with these prices that count over two periods, or twice for one request."""
    first: dict[str, tuple[Counting, Cursor]] = {}
    for price, rule in priced:
        countings = countings_in(price)
        if not countings:
            continue
        cursor = Cursor(rule.document, rule.problems, (*rule.path, "price"))
        for leaf in leaves(price):
            names = [schedule.counting.name for schedule in counted_in(leaf)]
            for name in dict.fromkeys(each for each in names if names.count(each) > 1):
                cursor.problem(f"two meters count in the counter `{name}`", "give one of them another", at_key=True)
        for counting in countings:
            known, place = first.setdefault(counting.name, (counting, cursor))
            if known.over is not counting.over:
                cursor.problem(
                    f"the counter `{counting.name}` counts by the {counting.over} here, and by the {known.over} at "
                    f"{place.where}",
                    "give one of them another name: what counts together counts over one period",
                    at_key=True,
                )


def check_recent(hold: Cursor, price: AnyPrice) -> None:
    """Report a hold by recent costs of a price that counts over a period: it depends on who asks."""
    if countings_in(price):
        hold.problem(
            "recent costs say little here: the price counts over a period, so that each customer pays another one",
            "write a term for each meter",
        )


def check_counted_shortage(on_short: Cursor, shortage: Shortage, price: AnyPrice) -> None:
    """Report a request that would wait or be lowered at a price that may be another one by then."""
    if shortage != DENY and countings_in(price):
        on_short.problem(
            "a price that counts over a period can only be denied: where its counters stand changes while one waits",
            "leave `on_short` out",
            at_key=True,
        )
