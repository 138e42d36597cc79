"""``hold:`` of a rule file, checked against what is measured and what has a price."""

import re
from fractions import Fraction

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_price import parsed, rated_meters, read_amount
from sidecar.domain.amounts import Unit
from sidecar.domain.errors import InvalidInput
from sidecar.domain.forms import PartCounts
from sidecar.domain.hold_terms import ExpressionError, Term
from sidecar.domain.metering import Meters
from sidecar.domain.price import parse_count
from sidecar.domain.price_list import AnyPrice
from sidecar.domain.recent_costs import OF_MAX, RecentCosts

_RECENT = ("percentile", "of", "at_first")
OF_USUAL = 200
PERCENTILE = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,6})?\Z", re.ASCII)
_A_PERCENTILE = "a number above 0, at most 100, such as 95"


def read_recent(cursor: Cursor | None, meters: Meters) -> tuple[RecentCosts | None, Cursor | None]:
    """What ``{percentile: 95, of: 200, at_first: 0.25}`` keeps of costs, and where the hold for the beginning stands.

    None, and `cursor` itself, for a hold of another kind.
    """
    if cursor is None or not isinstance(cursor.value, dict):
        return None, cursor
    if not set(_RECENT) & set(cursor.value) - set(meters.names):
        return None, cursor
    entries = cursor.entries(_RECENT, "percentile, of and at_first")
    percentile, of = Fraction(100), OF_USUAL
    if "percentile" in entries:
        line = entries["percentile"]
        percentile = parsed(line, line.written(_A_PERCENTILE), _percentile, "a percentile") or percentile
    else:
        cursor.problem("no `percentile`: how much of the last costs shall be held?", "add `percentile: 95`")
    if "of" in entries:
        line = entries["of"]
        of = parsed(line, line.written("a whole number above 0"), parse_count, "a count") or of
        if of > OF_MAX:
            line.problem(f"{of} costs are too many to keep", f"{OF_MAX} at most")
    return RecentCosts(percentile, min(of, OF_MAX)), entries.get("at_first")


def _percentile(text: str) -> Fraction:
    if not PERCENTILE.match(text) or not 0 < Fraction(text) <= 100:
        raise InvalidInput(_A_PERCENTILE)
    return Fraction(text)


def read_hold(
    cursor: Cursor | None, place: Cursor, unit: Unit, meters: Meters, price: AnyPrice, key: str = "hold"
) -> int | dict[str, Term]:
    """A fixed amount, or a term for each meter; what is not said comes from the reader.

    What the request itself tells is held exactly, and a meter of a status reads 1 at most. `place` is where it would
    stand, as `key`, if there is none.
    """
    told = {meter for meter, _ in meters.requests}
    terms = dict(meters.reader.hold) if meters.reader is not None else {}
    terms |= {meter: "1" for meter, _ in meters.statuses}
    terms |= {meter: "request.body_bytes" for meter, part in meters.parts if part.counts is PartCounts.BYTES}
    hold = {meter: Term.parse(text) for meter, text in terms.items()}
    estimated = set(hold) | (set(meters.reader.meters) if meters.reader is not None and meters.reader.hold else set())
    lacking = [meter for meter in rated_meters(price) if meter not in told | estimated]
    if cursor is None:
        if lacking:
            place.problem(f"no `{key}`: how much is set aside before the cost is known?", f"an amount: {key}: 0.25")
        return hold
    if not isinstance(cursor.value, dict):
        return read_amount(cursor, unit) or 0
    for meter, line in cursor.mapping("an amount, or terms by meter").items():
        if meter in told:
            line.problem(f"`{meter}` is known before it is held", "leave it out", at_key=True)
            continue
        if meter not in meters.names:
            line.problem(f"nothing measures `{meter}`", suggestion(meter, meters.names), at_key=True)
            continue
        term = _term(line)
        if term is not None:
            hold[meter] = term
    for meter in lacking:
        if meter not in cursor.value:
            cursor.problem(
                f"nothing for `{meter}`, which has a rate", f"add `{meter}: 0` if nothing shall be held for it"
            )
    return hold


def _term(cursor: Cursor) -> Term | None:
    text = cursor.written("an expression such as request.max_tokens or 1024")
    if text is None:
        return None
    try:
        return Term.parse(text)
    except ExpressionError as error:
        cursor.problem("not a usable expression", error.detail, offset=error.offset)
        return None
