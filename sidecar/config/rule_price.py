"""``price:`` of a rule file: rates, schedules, lists by a dimension, versions in time."""

import math
import re
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import TypeVar

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_answers import OfAnswer, read_answers
from sidecar.config.rule_counters import read_counting
from sidecar.config.rule_ranges import OfUsage, read_ranges, read_usage_dimension
from sidecar.domain import price_dimensions
from sidecar.domain.amounts import Unit
from sidecar.domain.errors import InvalidInput
from sidecar.domain.match import PathPattern
from sidecar.domain.metering import SUCCESS, Meters
from sidecar.domain.price import (
    FLAT,
    Package,
    Price,
    parse_count,
    parse_flat,
    parse_markup,
    parse_rate,
    parse_rate_or_package,
)
from sidecar.domain.price_counted import CountedSchedule
from sidecar.domain.price_dimensions import Dimension
from sidecar.domain.price_list import (
    AnyPrice,
    Choices,
    PriceList,
    PriceVersions,
    RequestPrice,
    Version,
    leaves,
)
from sidecar.domain.price_schedule import Schedule, Tier, price_of

_T = TypeVar("_T")

DENY = "deny"
BY = re.compile(
    r"request\.(?P<body>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)|header\.(?P<header>[A-Za-z0-9_-]+)"
    r"|query\.(?P<query>[A-Za-z0-9._~\[\]-]+)|path\.(?P<path>[a-z][a-z0-9_]*)"
    r"|(?P<customer>customer)|response\.(?P<status>status)|response\.header\.(?P<answer>[A-Za-z0-9_-]+)"
    r"|usage\.(?P<usage>[a-z][a-z0-9_]*)",
    re.ASCII,
)
_A_DIMENSION = (
    "customer, request.<field>, header.<Name>, query.<name>, path.<name>, response.status, response.header.<Name> "
    "or usage.<meter>"
)
_TOO_LATE: Mapping[int, tuple[str, str]] = {
    1: ("what the request says is known before what the answer says", "put it before response.…"),
    2: ("what is used is known last of all", "put it before usage.…"),
}
_A_RATE = "a rate such as 0.15 per 1M"
_A_SCHEDULE = "rate, graduated or volume, free, over and counter"
WAYS = ("rate", "graduated", "volume")


_Dimension = Dimension | OfAnswer | OfUsage
_STAGES: Mapping[type, int] = {Dimension: 0, OfAnswer: 1, OfUsage: 2}
"""When it is known: request, head of the answer, its end."""


def read_price(
    cursor: Cursor,
    unit: Unit,
    meters: Meters,
    *,
    rule: str = "",
    path: PathPattern | None = None,
    charge_on: frozenset[int] = SUCCESS,
    markup: Fraction = Fraction(0),
    least: int = 0,
    now_s: Callable[[], float] = time.time,
) -> AnyPrice | None:
    """One price, a list of them by what a request or its answer says, or versions of these; None after a problem.

    `rule` is the name of the rule, which counters have that say none.
    """
    before = len(cursor.problems)
    reader = _Reader(rule, unit, meters, path, charge_on, markup, least)
    price = reader.versions(cursor, now_s) if isinstance(cursor.value, list) else reader.whole(cursor)
    return price if len(cursor.problems) == before else None


def read_amount(cursor: Cursor, unit: Unit) -> int | None:
    """A decimal amount of `unit` in base units; None after a problem."""
    text = cursor.written("a decimal amount")
    return parsed(cursor, text, lambda text: parse_flat(text, unit), "an amount")


def read_markup(cursor: Cursor) -> Fraction:
    """A percentage as what is added to one; 0 after a problem."""
    return parsed(cursor, cursor.written("a percentage such as 20%"), parse_markup, "a markup") or Fraction(0)


def rated_meters(price: AnyPrice) -> list[str]:
    """The meters with a rate, in any of the prices."""
    return list(dict.fromkeys(meter for leaf in leaves(price) for meter in leaf.meters))


def parsed(cursor: Cursor, text: str | None, parse: Callable[[str], _T], what: str) -> _T | None:
    """What `parse` makes of `text`; its objection becomes a problem, and None."""
    if text is None:
        return None
    try:
        return parse(text)
    except InvalidInput as error:
        cursor.problem(f"`{text}` is not {what}", error.detail)
        return None


class _Reader:
    """Reads the price of one rule. After a problem it answers with anything: the caller throws that away."""

    def __init__(
        self,
        rule: str,
        unit: Unit,
        meters: Meters,
        path: PathPattern | None,
        charge_on: frozenset[int],
        markup: Fraction,
        least: int,
    ) -> None:
        self._rule = rule
        self._unit = unit
        self._meters = meters
        self._charge_on = charge_on
        self._path = path
        self._markup = markup
        self._least = least

    # --- Versions -----------------------------------------------------------------------------------------------

    def versions(self, cursor: Cursor, now_s: Callable[[], float]) -> PriceVersions:
        """A list of prices, each from its `effective_at` until the next one's."""
        versions: list[Version] = []
        for item in cursor.items("a price, or a list of versions of it"):
            entries = item.entries(("effective_at", "until", "price"), "effective_at, until and price")
            if "price" not in entries:
                item.problem("no `price`: what does this version cost?")
                continue
            since_s = _time_s(entries["effective_at"]) if "effective_at" in entries else float("-inf")
            until_s = _time_s(entries["until"]) if "until" in entries else float("inf")
            if until_s <= since_s:
                entries["until"].problem("not after `effective_at`: this version would never be in force")
            if versions and "effective_at" not in entries:
                item.problem("no `effective_at`: when does this version begin?", "only the first may be without")
            elif versions:
                versions[-1] = _followed(versions[-1], since_s, entries["effective_at"])
            versions.append(Version(since_s, until_s, self.whole(entries["price"])))
        return PriceVersions(versions, now_s)

    def whole(self, cursor: Cursor) -> RequestPrice:
        """All of a price, without a version around it."""
        before = len(cursor.problems)
        price = self._price(cursor)
        if len(cursor.problems) == before and not any(leaves(price)):
            rates = Cursor(cursor.document, cursor.problems, (*cursor.path, "rates"))
            rates.problem("nothing has a price here: the rule would refuse every request")
        return price

    # --- Lists --------------------------------------------------------------------------------------------------

    def _price(self, cursor: Cursor, *, stage: int = 0, or_deny: bool = False) -> RequestPrice:
        """Rates, or a list of prices. `stage`: it is inside a list by what is known then."""
        if not (isinstance(cursor.value, dict) and ({"by", "rates"} & set(cursor.value))):
            return self._rates(cursor, or_deny=or_deny)
        entries = cursor.entries(("by", "rates"), "by and rates")
        missing = [key for key in ("by", "rates") if key not in entries]
        for key in missing:
            cursor.problem(f"no `{key}`: prices by a field need both `by` and `rates`")
        if missing:
            return Price.of({})
        dimensions = []
        for item in entries["by"].one_or_items(_A_DIMENSION):
            dimension = self._dimension(item)
            known_at = _STAGES[type(dimension)] if dimension is not None else stage
            if known_at < stage:
                item.problem(*_TOO_LATE[stage])
            stage = max(stage, known_at)
            dimensions.append(dimension)
        return self._list(entries["rates"], dimensions, stage=stage)

    def _list(self, cursor: Cursor, dimensions: Sequence[_Dimension | None], *, stage: int) -> RequestPrice:
        """One mapping for each dimension, each inside the one before."""
        if not dimensions:
            return self._price(cursor, stage=stage, or_deny=True)
        dimension, *inner = dimensions
        prices: dict[str, RequestPrice | None] = {}
        for name, rates in cursor.mapping("values of the field with their prices").items():
            if rates.value != DENY:
                prices[name] = self._list(rates, inner, stage=stage)
            else:
                prices[name] = None
                if isinstance(dimension, OfAnswer | OfUsage):
                    rates.problem("a request that was answered cannot be denied", "its price may be `flat: 0`")
        if isinstance(dimension, Dimension):
            return _by(dimension, prices)
        if isinstance(dimension, OfAnswer):
            return read_answers(cursor, dimension, prices, self._charge_on)
        if isinstance(dimension, OfUsage):
            return read_ranges(cursor, dimension, prices)
        return Price.of({})

    def _dimension(self, cursor: Cursor) -> _Dimension | None:
        text = cursor.text(_A_DIMENSION)
        match = BY.fullmatch(text) if text is not None else None
        if text is not None and match is None:
            cursor.problem(f"a price cannot go by `{text}`", f"write {_A_DIMENSION}")
        if match is None:
            return None
        kind, name = match.lastgroup, match[match.lastgroup or 0]
        match kind:
            case "body":
                return price_dimensions.of_body(name)
            case "header":
                return price_dimensions.of_header(name)
            case "query":
                return price_dimensions.of_query(name)
            case "path":
                return self._path_parameter(cursor, name)
            case "customer":
                return price_dimensions.of_customer(())
            case "usage":
                return read_usage_dimension(cursor, name, self._meters)
        return OfAnswer(None if kind == "status" else name.lower().encode())

    def _path_parameter(self, cursor: Cursor, name: str) -> Dimension | None:
        known = self._path.parameters if self._path is not None else [name]
        if name not in known:
            cursor.problem(f"the rule's path has no `{{{name}}}`", suggestion(name, known, listing="it has"))
            return None
        return price_dimensions.of_path(name, self._path) if self._path is not None else None

    # --- Rates --------------------------------------------------------------------------------------------------

    def _rates(self, cursor: Cursor, *, or_deny: bool) -> Price:
        known = (FLAT, *self._meters.names)
        rates: dict[str, Fraction | Schedule] = {}
        flat = 0
        for meter, line in cursor.mapping("rates by meter, or deny" if or_deny else "rates by meter").items():
            if meter not in known:
                line.problem(f"nothing measures `{meter}`", suggestion(meter, known), at_key=True)
            elif meter == FLAT:
                flat = read_amount(line, self._unit) or 0
            else:
                rates[meter] = self._schedule(meter, line) if isinstance(line.value, dict) else self._rate(line)
        return self._with_classes(rates, flat)

    def _with_classes(self, rates: Mapping[str, Fraction | Schedule], flat: int) -> Price:
        """Each meter at its own rate, or at that of the class around it; a schedule counts both as one."""
        falls_back = self._meters.reader.falls_back if self._meters.reader is not None else {}
        plain: dict[str, Fraction] = {}
        counted: dict[str, list[str]] = {
            meter: [meter] for meter, rate in rates.items() if isinstance(rate, Schedule)
        }
        for meter in self._meters.names:
            rated = meter
            while rated not in rates and rated in falls_back:
                rated = falls_back[rated]
            rate = rates.get(rated)
            if isinstance(rate, Fraction):
                plain[meter] = rate
            elif rate is not None and meter != rated:
                counted[rated].append(meter)
        schedules = [
            msgspec.structs.replace(rate, meters=tuple(counted[meter]))
            for meter, rate in rates.items()
            if isinstance(rate, Schedule)
        ]
        return price_of(plain, flat, schedules=schedules, markup=self._markup, least=self._least)

    def _rate(self, cursor: Cursor) -> Fraction | Schedule:
        rate = parsed(cursor, cursor.written(_A_RATE), lambda text: parse_rate_or_package(text, self._unit), "a rate")
        if isinstance(rate, Package):
            return Schedule(meters=(), tiers=(Tier(None, rate.amount),), package=rate.size)
        return rate or Fraction(0)

    def _schedule(self, meter: str, cursor: Cursor) -> Schedule:
        """The schedule of one meter; one that counts over a period counts by rule and meter, or by its own name."""
        entries = cursor.entries((*WAYS, "free", "over", "counter"), _A_SCHEDULE)
        alone = self._of_one_request(cursor, entries)
        counting = read_counting(entries, f"{self._rule}/{meter}")
        return alone if counting is None else CountedSchedule(**msgspec.structs.asdict(alone), counting=counting)

    def _of_one_request(self, cursor: Cursor, entries: Mapping[str, Cursor]) -> Schedule:
        ways = [way for way in WAYS if way in entries]
        if len(ways) != 1 and entries:
            cursor.problem(f"{' and '.join(ways) or 'no rate'} here: expected one of {', '.join(WAYS)}")
        free = _count(entries["free"]) if "free" in entries else 0
        if "rate" in entries:
            rate = self._rate(entries["rate"])
            alone = rate if isinstance(rate, Schedule) else Schedule(meters=(), tiers=(Tier(None, rate),))
            return msgspec.structs.replace(alone, free=free)
        tiers = self._tiers(entries[ways[0]]) if ways else ()
        return Schedule(meters=(), tiers=tiers, volume="volume" in entries, free=free)

    def _tiers(self, cursor: Cursor) -> tuple[Tier, ...]:
        items = cursor.items("a list of tiers")
        tiers: list[Tier] = []
        for item in items:
            entries = item.entries(("up_to", "rate", "flat"), "up_to, and rate, flat or both")
            rate = entries["rate"].written(_A_RATE) if "rate" in entries else None
            parsed_rate = parsed(
                entries.get("rate", item), rate, lambda text: parse_rate(text, self._unit), "the rate of a tier"
            )
            flat = read_amount(entries["flat"], self._unit) if "flat" in entries else 0
            if entries and not {"rate", "flat"} & set(entries):
                item.problem("no `rate` and no `flat`: what does this tier cost?")
            up_to = _count(entries["up_to"]) if "up_to" in entries else None
            if entries and (up_to is None) != (item is items[-1]):
                item.problem(
                    "the last tier is open: what would be above it?" if up_to is not None else "no `up_to`",
                    "leave `up_to` out" if up_to is not None else "only the last tier is open",
                )
            if up_to and tiers and up_to <= (tiers[-1].up_to or 0):
                entries["up_to"].problem("not above the tier before it", "tiers stand in the order of their bounds")
            tiers.append(Tier(up_to, parsed_rate or Fraction(0), flat or 0))
        return tuple(tiers)


def _by(dimension: Dimension, prices: Mapping[str, RequestPrice | None]) -> PriceList:
    """Prices by what a request says, or by who asks: external ids are kept in NFC."""
    if dimension.key != price_dimensions.CUSTOMER:
        return PriceList(dimension, Choices.of(prices))
    named = {unicodedata.normalize("NFC", name): price for name, price in prices.items()}
    return PriceList(price_dimensions.of_customer(named), Choices.of(named))


def _followed(version: Version, since_s: float, cursor: Cursor) -> Version:
    """A version that ends where the next one begins, which `cursor` says."""
    if since_s <= version.since_s:
        cursor.problem("not after the version before it", "versions stand in the order of time")
    elif version.until_s not in (since_s, float("inf")):
        cursor.problem(
            "not when the version before it ends",
            "leave that one's `until` out: a version ends when the next one begins",
        )
    return Version(version.since_s, since_s, version.price)


def _count(cursor: Cursor) -> int:
    return parsed(cursor, cursor.written("a whole number above 0"), parse_count, "a count") or 0


def _time_s(cursor: Cursor) -> float:
    """Seconds since 1970; a day is its first instant in UTC. No number after a problem."""
    text = cursor.text("a time such as 2027-01-01 or 2027-01-01T12:00:00Z")
    at_s = parsed(cursor, text, _seconds, "a time")
    return math.nan if at_s is None else at_s


def _seconds(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("write 2027-01-01 or 2027-01-01T12:00:00Z") from error
    if at.tzinfo is None and len(text) > len("2027-01-01"):
        raise InvalidInput("it has no time zone: add Z for UTC, or one such as +01:00")
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
