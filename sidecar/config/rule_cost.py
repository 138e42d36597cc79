"""``usage:``, ``price:`` and ``hold:`` of a rule file, checked against each other."""

import re
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_match import header_name
from sidecar.domain.amounts import Unit
from sidecar.domain.errors import InvalidInput
from sidecar.domain.hold_terms import ExpressionError, Term
from sidecar.domain.metering import Measure, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.pointers import Pointer, parse_pointer, pointer_reader
from sidecar.domain.price import FLAT, Price, parse_flat, parse_rate
from sidecar.domain.quotes import PriceList

_T = TypeVar("_T")

DENY = "deny"
_METER = re.compile(r"[a-z][a-z0-9_]{0,63}\Z", re.ASCII)
_BY = re.compile(r"request((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\Z", re.ASCII)
_NEEDED_HEADERS = frozenset(
    (
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"date",
        b"transfer-encoding",
        b"trailer",
    )
)
_A_SOURCE = "header, json, sse, bytes or duration"
_A_RATE = "a rate such as 0.15 per 1M"


class _Sources(msgspec.Struct):
    """What the mapping form of ``usage:`` names, by kind."""

    headers: list[tuple[str, bytes]] = []
    measures: list[tuple[str, Measure]] = []
    json: dict[str, Pointer] = {}
    sse: dict[str, Pointer] = {}


def read_usage(cursor: Cursor) -> Meters:
    """A reader by its name, or meters with a source each."""
    if isinstance(cursor.value, str):
        name = cursor.choice(READERS, "a reader")
        return Meters(reader=READERS[name]) if name is not None else Meters()
    sources = _Sources()
    for meter, source in cursor.mapping("a reader's name, or meters with their sources").items():
        if not _METER.match(meter) or meter == FLAT:
            source.problem(f"`{meter}` cannot be a meter's name", "lower case, digits and _; not `flat`", at_key=True)
        _read_source(meter, source, sources)
    reader = pointer_reader(sources.json, sources.sse) if sources.json or sources.sse else None
    return Meters(reader=reader, headers=tuple(sources.headers), measures=tuple(sources.measures))


def _read_source(meter: str, cursor: Cursor, sources: _Sources) -> None:
    entries = cursor.entries(("header", "json", "sse", "bytes", "duration"), _A_SOURCE)
    if len(entries) > 1 and set(entries) != {"json", "sse"}:
        cursor.problem(f"a meter has one source, not {' and '.join(entries)}", "only json and sse can stand together")
    for kind, value in entries.items():
        match kind:
            case "header":
                name = header_name(value)
                if name in _NEEDED_HEADERS:
                    value.problem(f"`{name.decode()}` cannot be a meter: it would be taken out of the answer")
                sources.headers.append((meter, name or b""))
            case "bytes":
                side = value.choice(("request", "response"), "a body to count")
                sources.measures.append((meter, Measure(f"{side or 'request'}_bytes")))
            case "duration":
                value.choice(("ms",), "a unit of time")
                sources.measures.append((meter, Measure.DURATION_MS))
            case "json":
                sources.json[meter] = _pointer(value)
            case "sse":
                inner = value.entries(("pointer",), "pointer")
                sources.sse[meter] = _pointer(inner["pointer"]) if inner else ()


def _pointer(cursor: Cursor) -> Pointer:
    text = cursor.text("a JSON pointer such as /usage/total_tokens")
    return _parsed(cursor, text, parse_pointer, "a JSON pointer") or ()


def read_price(cursor: Cursor, unit: Unit, meters: Meters) -> Price | PriceList | None:
    """One price, or a list of them by a field of the request; None after a problem."""
    if not (isinstance(cursor.value, dict) and ({"by", "rates"} & set(cursor.value))):
        return _read_rates(cursor, unit, meters)
    entries = cursor.entries(("by", "rates"), "by and rates")
    missing = [key for key in ("by", "rates") if key not in entries]
    for key in missing:
        cursor.problem(f"no `{key}`: prices by a field need both `by` and `rates`")
    if missing:
        return None
    by = entries["by"].text("request.<field>")
    field = _BY.match(by) if by is not None else None
    if by is not None and field is None:
        entries["by"].problem(f"`{by}` is not a field of the request", "write request.<field>, such as request.model")
    prices = {}
    for name, rates in entries["rates"].mapping("values of the field with their prices").items():
        prices[name] = None if rates.value == DENY else _read_rates(rates, unit, meters, or_deny=True)
    if prices and all(rates == DENY for rates in entries["rates"].value.values()):
        entries["rates"].problem("nothing has a price here: the rule would refuse every request")
    return PriceList.of(field[1][1:], prices) if field is not None else None


def _read_rates(cursor: Cursor, unit: Unit, meters: Meters, *, or_deny: bool = False) -> Price | None:
    known = (FLAT, *meters.names)
    rates: dict[str, Fraction] = {}
    flat = 0
    for meter, line in cursor.mapping("rates by meter, or deny" if or_deny else "rates by meter").items():
        if meter not in known:
            line.problem(f"nothing measures `{meter}`", suggestion(meter, known), at_key=True)
            continue
        text = line.written("a decimal amount" if meter == FLAT else _A_RATE)
        if meter == FLAT:
            flat = _parsed(line, text, lambda text: parse_flat(text, unit), "an amount") or 0
        else:
            rates[meter] = _parsed(line, text, lambda text: parse_rate(text, unit), "a rate") or Fraction(0)
    falls_back = meters.reader.falls_back if meters.reader is not None else {}
    effective = {}
    for meter in meters.names:
        rated = meter
        while rated not in rates and rated in falls_back:
            rated = falls_back[rated]
        if rated in rates:
            effective[meter] = rates[rated]
    return Price.of(effective, flat)


def read_amount(cursor: Cursor, unit: Unit) -> int | None:
    """A decimal amount of `unit` in base units; None after a problem."""
    return _parsed(cursor, cursor.written("a decimal amount"), lambda text: parse_flat(text, unit), "an amount")


def read_hold(
    cursor: Cursor | None, rule: Cursor, unit: Unit, meters: Meters, price: Price | PriceList
) -> int | dict[str, Term]:
    """A fixed amount, or a term for each meter; what is not said comes from the reader."""
    terms = dict(meters.reader.hold) if meters.reader is not None else {}
    hold = {meter: Term.parse(text) for meter, text in terms.items()}
    rated = rated_meters(price)
    if cursor is None:
        if rated and not hold:
            rule.problem("no `hold`: how much is set aside before the cost is known?", "an amount: hold: 0.25")
        return hold
    if not isinstance(cursor.value, dict):
        return read_amount(cursor, unit) or 0
    for meter, line in cursor.mapping("an amount, or terms by meter").items():
        if meter not in meters.names:
            line.problem(f"nothing measures `{meter}`", suggestion(meter, meters.names), at_key=True)
            continue
        text = line.written("an expression such as request.max_tokens or 1024")
        if text is None:
            continue
        try:
            hold[meter] = Term.parse(text)
        except ExpressionError as error:
            line.problem("not a usable expression", error.detail, offset=error.offset)
    for meter in rated:
        if not terms and meter not in cursor.value:
            cursor.problem(
                f"nothing for `{meter}`, which has a rate", f"add `{meter}: 0` if nothing shall be held for it"
            )
    return hold


def rated_meters(price: Price | PriceList) -> list[str]:
    """The meters with a rate, in any of the prices."""
    if isinstance(price, Price):
        return list(price.rates)
    prices = [*price.exact.values(), *price.by_pattern, price.other]
    return list(dict.fromkeys(meter for price in prices if price is not None for meter in price.rates))


def _parsed(cursor: Cursor, text: str | None, parse: Callable[[str], _T], what: str) -> _T | None:
    if text is None:
        return None
    try:
        return parse(text)
    except InvalidInput as error:
        cursor.problem(f"`{text}` is not {what}", error.detail)
        return None
