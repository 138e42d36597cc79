"""Warnings about prices over a period: what is counted without an effect, and what customers will not expect."""

from collections.abc import Mapping

from sidecar.config.cursor import Cursor
from sidecar.config.lint_price import prices_in
from sidecar.domain.amounts import Unit
from sidecar.domain.counters import Over
from sidecar.domain.price import Package, parse_rate_or_package
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import AnyPrice


def lint_counters(entries: Mapping[str, Cursor], price: AnyPrice, hold: object, unit: Unit) -> None:
    """Report what is odd about a `price` over a period, given by the `entries` of its rule, and about its `hold`."""
    if not countings_in(price):
        return
    if isinstance(hold, int) and hold:
        entries["hold"].problem(
            "the same is held wherever counters stand: who has an allowance left and no credit is refused",
            "write a term for each meter, such as `{pages: 10}`",
        )
    for leaf in prices_in(entries["price"]):
        for line in leaf.mapping("rates by meter").values():
            if isinstance(line.value, dict) and line.value.get("over", Over.EVENT) != Over.EVENT:
                _lint_schedule(line.mapping("a schedule"), unit)


def _lint_schedule(entries: Mapping[str, Cursor], unit: Unit) -> None:
    if "volume" in entries:
        entries["volume"].problem(
            "what was counted before is not priced again: each request is at the rate of the tier that it reaches",
            "`graduated` has the same sum in whatever order requests come",
            at_key=True,
        )
    # What names a counter counts for others that name it, too.
    if entries.keys() <= {"over", "rate"} and not _is_package(entries["rate"], unit):
        entries["over"].problem(
            "the price does not depend on it: each one costs the same wherever the counter stands",
            "leave it out, or add `free` or tiers",
            at_key=True,
        )


def _is_package(rate: Cursor, unit: Unit) -> bool:
    return isinstance(parse_rate_or_package(rate.written("a rate") or "", unit), Package)
