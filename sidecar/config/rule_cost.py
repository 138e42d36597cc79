"""``usage:`` and ``hold:`` of a rule file, checked against each other and against the price."""

import re

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_match import header_name
from sidecar.config.rule_price import parsed, rated_meters, read_amount
from sidecar.domain.amounts import Unit
from sidecar.domain.hold_terms import ExpressionError, Term
from sidecar.domain.metering import Measure, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.pointers import Pointer, parse_pointer, pointer_reader
from sidecar.domain.price import FLAT
from sidecar.domain.price_list import AnyPrice

METER = re.compile(r"[a-z][a-z0-9_]{0,63}\Z", re.ASCII)
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
        if not METER.match(meter) or meter == FLAT:
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
    return parsed(cursor, text, parse_pointer, "a JSON pointer") or ()


def read_hold(
    cursor: Cursor | None, rule: Cursor, unit: Unit, meters: Meters, price: AnyPrice
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
