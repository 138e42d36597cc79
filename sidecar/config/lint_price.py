"""Warnings about prices: values without any, entries that never decide, rates that look like a slip of the pen.

It looks at the text of a price that has been read without a mistake, since only there every part has a place.
"""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.domain.amounts import Unit
from sidecar.domain.metering import Meters
from sidecar.domain.price import FLAT, Package, parse_rate_or_package
from sidecar.domain.price_list import ANY, Choices

_BESIDE_ANY_TEXT = "\N{REPLACEMENT CHARACTER}"
"""Stands for whatever ``*`` may be; no name of a model has it."""


class _Rate(msgspec.Struct, frozen=True):
    """An amount for one of a meter, in base units, or once (`FLAT`), and where it is written."""

    meter: str
    amount: Fraction
    cursor: Cursor


def lint_price(entries: Mapping[str, Cursor], meters: Meters, unit: Unit) -> None:
    """Report what is odd about the `price` of a rule, given by the `entries` of that rule."""
    price = entries["price"]
    for choices in _choices_in(price):
        _lint_choices(choices)
    every = [rate for leaf in prices_in(price) for rate in _lint_leaf(leaf, meters, unit)]
    if every and not any(rate.amount for rate in every) and "min_charge" not in entries:
        price.problem("nothing costs anything here", "write `free: true` if that is meant", at_key=True)


def prices_in(price: Cursor) -> Iterator[Cursor]:
    """Every mapping of rates by meter, whatever it is chosen by."""
    if isinstance(price.value, list):
        for version in price.items("versions"):
            yield from prices_in(version.mapping("a version")["price"])
    elif _is_list(price):
        for inner in _chosen(price):
            yield from prices_in(inner)
    elif isinstance(price.value, dict):
        yield price


def _choices_in(price: Cursor) -> Iterator[Cursor]:
    """Every mapping from values to prices."""
    if isinstance(price.value, list):
        for version in price.items("versions"):
            yield from _choices_in(version.mapping("a version")["price"])
    elif _is_list(price):
        for level in _levels(price):
            yield from level
        for inner in _chosen(price):
            yield from _choices_in(inner)


def _is_list(price: Cursor) -> bool:
    return isinstance(price.value, dict) and {"by", "rates"} <= set(price.value)


def _levels(price: Cursor) -> list[list[Cursor]]:
    """The mapping below `rates`; when `by` names several things, then those inside it, and so on."""
    entries = price.mapping("by and rates")
    levels = [[entries["rates"]]]
    for _ in entries["by"].one_or_items("what it goes by")[1:]:
        levels.append([inner for inner in _values(levels[-1]) if isinstance(inner.value, dict)])
    return levels


def _chosen(price: Cursor) -> Iterator[Cursor]:
    """What a list comes to, prices and denials."""
    yield from _values(_levels(price)[-1])


def _values(level: Iterable[Cursor]) -> Iterator[Cursor]:
    for choices in level:
        yield from choices.mapping("prices").values()


def _lint_choices(choices: Cursor) -> None:
    """No ``*``, so that what is missing is only found when it is asked for; patterns behind a wider one."""
    names = choices.mapping("prices")
    if ANY not in names:
        choices.problem('no price for "*": requests with any other value are refused with 403',
                        'say so with "*": deny, or give it a price', at_key=True)  # fmt: skip
    earlier: list[str] = []
    for name, cursor in names.items():
        if ANY in name and name != ANY:
            wider = next((other for other in earlier if _covers(other, name)), None)
            if wider is not None:
                cursor.problem(f'"{name}" never decides: "{wider}" before it matches all that it matches',
                               "put the narrower one first", at_key=True)  # fmt: skip
            earlier.append(name)


def _covers(wider: str, name: str) -> bool:
    """Whether a pattern matches whatever the other one does."""
    return Choices.of({wider: True}).find(name.replace(ANY, _BESIDE_ANY_TEXT)) is True


def _lint_leaf(price: Cursor, meters: Meters, unit: Unit) -> list[_Rate]:
    """The amounts of one price, after a look at each."""
    rates = list(_rates(price, unit))
    falls_back = meters.reader.falls_back if meters.reader is not None else {}
    apart = meters.reader.apart if meters.reader is not None else ()
    nothing = not any(rate.amount for rate in rates)
    by_meter = {rate.meter: rate for rate in rates}
    for rate in rates:
        each = rate.amount / 10**unit.scale
        if "token" in rate.meter and each > 1:
            rate.cursor.problem(f"more than 1 {unit.name} for each of `{rate.meter}`", "is `per 1M` missing?")
        if not rate.amount and not nothing and rate.meter not in (FLAT, *falls_back, *apart):
            rate.cursor.problem(f"`{rate.meter}` costs nothing", "leave the line out if that is meant")
        around = by_meter.get(falls_back.get(rate.meter, ""))
        # Both may come from a cache: sound costs more there than text.
        fresh = around is not None and not _read_from_a_cache(around.meter)
        if around is not None and fresh and _read_from_a_cache(rate.meter) and rate.amount > around.amount:
            rate.cursor.problem(
                f"`{rate.meter}` costs more than `{around.meter}`", "what comes from a cache is cheaper elsewhere"
            )
    return rates


def _read_from_a_cache(meter: str) -> bool:
    return meter.startswith(("cached_", "cache_read_"))


def _rates(price: Cursor, unit: Unit) -> Iterator[_Rate]:
    """All amounts of one price; those of tiers, too, where zeros are a way to say that the first ones are free."""
    for meter, line in price.mapping("rates by meter").items():
        if isinstance(line.value, dict):
            tiers = [rate for rate in _tiers(meter, line, unit) if rate.amount]
            yield from tiers or [_Rate(meter, Fraction(0), line)]
        else:
            yield _rate(meter, line, unit)


def _tiers(meter: str, schedule: Cursor, unit: Unit) -> Iterator[_Rate]:
    entries = schedule.mapping("a schedule")
    if "rate" in entries:
        yield _rate(meter, entries["rate"], unit)
    for way in {"graduated", "volume"} & set(entries):
        for tier in entries[way].items("tiers"):
            for key, cursor in tier.mapping("a tier").items():
                if key in {"rate", "flat"}:
                    yield _rate(meter if key == "rate" else FLAT, cursor, unit)


def _rate(meter: str, cursor: Cursor, unit: Unit) -> _Rate:
    rate = parse_rate_or_package(cursor.written("a rate") or "", unit)
    return _Rate(meter, rate.amount / rate.size if isinstance(rate, Package) else rate, cursor)
