"""``hold:`` of a rule file, checked against what is measured and what has a price."""

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_price import rated_meters, read_amount
from sidecar.domain.amounts import Unit
from sidecar.domain.hold_terms import ExpressionError, Term
from sidecar.domain.metering import Meters
from sidecar.domain.price_list import AnyPrice


def read_hold(
    cursor: Cursor | None, rule: Cursor, unit: Unit, meters: Meters, price: AnyPrice
) -> int | dict[str, Term]:
    """A fixed amount, or a term for each meter; what is not said comes from the reader.

    What the request itself tells is held exactly, and a meter of a status reads 1 at most.
    """
    told = {meter for meter, _ in meters.requests}
    terms = dict(meters.reader.hold) if meters.reader is not None else {}
    terms |= {meter: "1" for meter, _ in meters.statuses}
    hold = {meter: Term.parse(text) for meter, text in terms.items()}
    estimated = set(hold) | (set(meters.reader.meters) if meters.reader is not None and meters.reader.hold else set())
    lacking = [meter for meter in rated_meters(price) if meter not in told | estimated]
    if cursor is None:
        if lacking:
            rule.problem("no `hold`: how much is set aside before the cost is known?", "an amount: hold: 0.25")
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
