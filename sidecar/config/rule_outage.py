"""``on_store_down:`` of a rule file: ``deny``, ``allow``, ``lease``, or ``{allow: {most: 5, for: 10m}}``."""

from sidecar.config.cursor import Cursor
from sidecar.config.durations import Duration
from sidecar.config.rule_price import read_amount
from sidecar.domain.amounts import Unit
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import AnyPrice
from sidecar.domain.store_down import DENY, OnStoreDown, StoreDown

FOR = Duration(("s", "m", "h"), "24h", "90s or 10m")
BOUNDS = ("most", "total", "for")


def read_outage(cursor: Cursor, unit: Unit) -> StoreDown:
    """What the rule does without the store; `DENY` beside any problem."""
    if not isinstance(cursor.value, dict):
        way = cursor.choice(tuple(OnStoreDown), "what becomes of its requests")
        return StoreDown(way=OnStoreDown(way)) if way else DENY
    entries = cursor.entries(("allow",), "allow")
    if "allow" not in entries:
        cursor.problem("no `allow`: what has bounds here?", "on_store_down: {allow: {most: 5, for: 10m}}")
        return DENY
    bounds = entries["allow"].entries(BOUNDS, ", ".join(BOUNDS))
    allowed = StoreDown(way=OnStoreDown.ALLOW)
    most = read_amount(bounds["most"], unit) if "most" in bounds else None
    total = read_amount(bounds["total"], unit) if "total" in bounds else None
    if most is not None and total is not None and total < most:
        bounds["total"].problem("less than `most`, so that no customer could have that", "at least `most`")
    return StoreDown(
        way=OnStoreDown.ALLOW,
        most=allowed.most if most is None else most,
        total=allowed.total if total is None else total,
        for_s=FOR.read_s(bounds["for"]) if "for" in bounds else allowed.for_s,
    )


def check_outage(cursor: Cursor, price: AnyPrice) -> None:
    """Report a price that nobody knows without the store."""
    if countings_in(price):
        cursor.problem(
            "a price that counts over a period is not known without the store, which counts",
            "leave `on_store_down` out",
            at_key=True,
        )
