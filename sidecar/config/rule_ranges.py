"""Prices by usage in a rule file: ``by: usage.input_tokens``, with rates for ``<= 200k`` and for ``*``."""

import re
from collections.abc import Mapping

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering import Meters
from sidecar.domain.price import Price, parse_count
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import ANY
from sidecar.domain.price_ranges import price_by_usage

RANGE = re.compile(r"<=\s*(\S+)\Z")
_A_RANGE = "a bound such as <= 200k, or *"


class OfUsage(msgspec.Struct, frozen=True):
    """A dimension that only usage has: the sum of these meters."""

    meters: tuple[str, ...]


def read_usage_dimension(cursor: Cursor, name: str, meters: Meters) -> OfUsage | None:
    """One meter with all classes of it that the reader counts apart, as cached input; None after a problem."""
    if name not in meters.names:
        cursor.problem(f"nothing measures `{name}`", suggestion(name, meters.names))
        return None
    around = meters.reader.falls_back if meters.reader is not None else {}

    def is_inside(meter: str) -> bool:
        while meter != name and meter in around:
            meter = around[meter]
        return meter == name

    return OfUsage(tuple(filter(is_inside, meters.names)))


def read_ranges(cursor: Cursor, dimension: OfUsage, prices: Mapping[str, object]) -> Price:
    """The price that `prices`, by the names of the mapping at `cursor`, make together; any price after a problem."""
    by_bound: dict[int | None, Price] = {}
    bounds: list[int] = []
    for name, price in prices.items():
        place = Cursor(cursor.document, cursor.problems, (*cursor.path, name))
        up_to = _bound(place, name) if name != ANY else None
        if isinstance(price, Price) and countings_in(price):
            place.problem("a price by usage cannot go on over a period", "leave `over` out", at_key=True)
        if isinstance(price, Price) and (up_to is not None or name == ANY):
            by_bound[up_to] = price
        if up_to is not None:
            if bounds and up_to <= bounds[-1]:
                place.problem("not above the bound before it", "ranges stand in their order", at_key=True)
            bounds.append(up_to)
    if ANY not in prices:
        cursor.problem('no price for "*": usage may be more than any bound', 'add a price for "*"')
    elif len(prices) == 1:
        cursor.problem("no bound here: what does the usage decide?", f"add {_A_RANGE}")
    above = by_bound.pop(None, Price.of({}))
    return price_by_usage(dimension.meters, {**by_bound, None: above})


def _bound(cursor: Cursor, name: str) -> int | None:
    match = RANGE.match(name)
    try:
        return parse_count(match[1] if match is not None else "")
    except InvalidInput as error:
        cursor.problem(f"`{name}` is no range", f"write {_A_RANGE}; {error.detail}", at_key=True)
        return None
