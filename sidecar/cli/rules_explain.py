"""`sidecar rules explain`: what one request, or each of a HAR file, would match, hold and cost. Needs no server.

An explanation is one record, shown as text or as JSON. The request is given as to curl, or as METHOD and PATH.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sidecar.cli import options
from sidecar.cli.client import Subparsers, customer_argument
from sidecar.cli.rules_har import Entry, read_har, split_url
from sidecar.cli.rules_read import configured
from sidecar.cli.screen import plural, printable, show_json, show_table
from sidecar.config.problems import suggestion
from sidecar.config.settings import units_of
from sidecar.domain.amounts import MAX_AMOUNT, Unit, render
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering import Source
from sidecar.domain.price import Line, Number, exact_text, number_text, parse_number, rate_text
from sidecar.domain.price_dimensions import CUSTOMER
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.rehearsal import Rehearsal, Request, charge, rehearse
from sidecar.domain.request_facts import RequestFacts
from sidecar.domain.rules import OnExhausted, Rule, RuleSet
from sidecar.domain.usage_words import word

_DESCRIPTION = """\
Show which rule a request matches and why not an earlier one, what is held, and what given usage costs. The request is
METHOD and PATH, or a URL with the flags of curl; or those of a HAR file, with what their answers cost.
"""


def add(commands: Subparsers) -> None:
    """``sidecar rules explain``."""
    explain = commands.add_parser("explain", help="which rule, which hold, which cost", description=_DESCRIPTION)
    options.add(explain, "--rules")
    explain.add_argument("words", metavar="[METHOD] URL", nargs="*", help="a path, or a URL; with its query")
    explain.add_argument(
        "-X", "--request", dest="method", metavar="METHOD", help="GET if there is no body, else POST"
    )
    explain.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", action="append", default=[], help="may be repeated"
    )
    data = ("-d", "--data", "--data-raw", "--data-binary")
    explain.add_argument(*data, dest="body", metavar="BODY|@FILE", help="the request's body")
    explain.add_argument("--customer", metavar="CUSTOMER", type=customer_argument, help="who asks")
    explain.add_argument("--usage", metavar="METER=N,…", default="", help="what the answer reports, to see its cost")
    explain.add_argument(
        "--position",
        metavar="METER=N,…",
        default="",
        help="how many were counted before, of what counts over a period",
    )
    explain.add_argument("--har", metavar="FILE", type=Path, help="explain the requests of a recording instead")
    explain.add_argument("-v", "--verbose", action="store_true", help="show each rule that was tried before")
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(run=_explain)


def _explain(args: argparse.Namespace) -> int:
    if args.har is not None and (
        args.words or args.method or args.header or args.body or args.usage or args.customer or args.position
    ):
        raise InvalidInput(
            "--har brings its own requests: leave out URL, -X, -H, -d, --customer, --usage and --position."
        )
    request = None if args.har is not None else _request(args)
    settings = options.loaded(args).settings
    units = units_of(settings)
    rules = configured(settings, units)
    if request is None:
        return _explain_all(rules, units, read_har(args.har), as_json=args.json, verbose=args.verbose)
    explanation = explain(rules, units, request, args.usage, args.position)
    if args.json:
        show_json(explanation)
    else:
        _show(explanation, verbose=args.verbose)
    return 0 if _passes(explanation) else 1


def explain(
    rules: RuleSet, units: Mapping[str, Unit], request: Request, usage: str = "", position: str = ""
) -> dict[str, Any]:
    """What the proxy would do with this request, for JSON; InvalidInput for numbers that cannot be read."""
    rehearsal = rehearse(rules, request, _positions(position) if position else None)
    explanation = _found(rehearsal, request)
    rule, quote, facts = rehearsal.rule, rehearsal.quote, rehearsal.facts
    if rule is None or facts is None or not isinstance(quote, Quote):
        return explanation
    unit = units[rule.unit]
    explanation |= _priced(rule, quote, facts, unit)
    if usage:
        read = _usage(usage, quote.tariff.meters.names)
        lines = [line for line in quote.price.lines(read) if line.read]
        cost = {"amount": render(quote.cost(read), unit), "lines": [_line(line, unit) for line in lines]}
        explanation["cost"] = cost
    return explanation


def _found(rehearsal: Rehearsal, request: Request) -> dict[str, Any]:
    rule = rehearsal.rule
    shown = f"{request.method.decode('latin-1')} {request.target.decode('utf-8', 'replace')}"
    explanation: dict[str, Any] = {"request": shown, "rule": rule.name if rule is not None else None}
    explanation["earlier"] = [
        {"rule": tried.rule.name, "where": tried.rule.where, "why": tried.why} for tried in rehearsal.tried
    ]
    if rule is None:
        return explanation | {"why": rehearsal.why}
    explanation |= {"where": rule.where, "free": rule.free}
    quote = rehearsal.quote
    return explanation | ({"refused": _refusal(quote)} if isinstance(quote, Unquoted) else {})


def _refusal(unquoted: Unquoted) -> dict[str, str]:
    return {"code": unquoted.code, "detail": unquoted.detail}


def _priced(rule: Rule, quote: Quote, facts: RequestFacts, unit: Unit) -> dict[str, Any]:
    quoter, tariff = rule.quoter, quote.tariff
    priced: dict[str, Any] = {"unit": unit.name, "hold": {"amount": render(quote.hold, unit)}}
    if not isinstance(quoter.hold, int):
        estimate = quoter.estimate(facts)
        # Meters that nothing is estimated for would only say that they cost nothing.
        lines = [line for line in quote.hold_lines(estimate) if line.read]
        terms = {meter: term.text for meter, term in quoter.hold.items()}
        priced["hold"]["lines"] = [_line(line, unit) | {"term": terms.get(line.meter, "")} for line in lines]
    if tariff.max_charge < MAX_AMOUNT:
        priced["max_charge"] = render(tariff.max_charge, unit)
    notes = list(quote.price.notes)
    if quote.by_answer is not None:
        notes.append(f'the price depends on {quote.by_answer.name}: the hold is for the dearest, the cost for "*"')
    if quoter.recent is not None:
        notes.append(quoter.recent.note)
    if word(CUSTOMER, None) in quote.chosen_by:
        notes.append("the price depends on who asks, which --customer says: this is that of anybody else")
    notes += [
        f"counted in {counter.key}: --position shows the price at another position"
        for counter in quote.counters.values()
    ]
    notes += _notes(rule, unit)
    if notes:
        priced["notes"] = notes
    if quote.body is not None:
        priced["asks"] = "the stream is asked to report its usage, and the client does not see that"
    return priced


def _notes(rule: Rule, unit: Unit) -> list[str]:
    """What the rule does beside charging, in sentences."""
    notes = list(rule.on_short.notes)
    notes += rule.on_store_down.notes(unit)
    if rule.later is not None:
        notes.append(rule.later.note)
    if rule.upgrade:
        notes.append(f"it may go over to {rule.upgrade.decode()}; what the session costs shows only as it lasts")
    if rule.on_exhausted is not None:
        ends = "cut" if rule.on_exhausted is OnExhausted.CUT else "finished, for debt"
        what = "session lasts" if rule.upgrade else "answer streams"
        notes.append(f"the hold grows while the {what}; when there is no more credit, it is {ends}")
    notes += [limit.note for limit in rule.limits]
    if rule.shadow:
        notes.append("in shadow: what would be refused is served, and not charged")
    return notes


def _line(line: Line, unit: Unit) -> dict[str, str]:
    amount = exact_text(line.amount / 10**unit.scale)
    return {
        "meter": line.meter,
        "count": number_text(line.read),
        "rate": rate_text(line.rate, unit),
        "amount": amount,
        "note": line.note,
    }


def _show(explanation: Mapping[str, Any], *, verbose: bool) -> None:
    print("\n".join(map(printable, _lines(explanation, verbose=verbose))))


def _lines(explanation: Mapping[str, Any], *, verbose: bool) -> list[str]:
    lines = [explanation["request"]]
    if explanation["rule"] is None:
        lines.append(f"rule   none: {explanation['why']}; such a request is refused")
    else:
        lines.append(f"rule   {explanation['rule']} ({explanation['where']}){', free' * explanation['free']}")
    lines += _earlier(explanation["earlier"], verbose=verbose)
    if "refused" in explanation:
        lines.append(f"hold   none, refused as {explanation['refused']['code']}: {explanation['refused']['detail']}")
    for key in ("hold", "cost"):
        if key in explanation:
            lines.append(f"{key}   {explanation[key]['amount']} {explanation['unit']}")
            lines += _table(explanation[key].get("lines", []))
    if "max_charge" in explanation:
        lines.append(f"most   {explanation['max_charge']} {explanation['unit']}")
    if "asks" in explanation:
        lines.append(f"note   {explanation['asks']}")
    return lines + [f"note   {note}" for note in explanation.get("notes", ())]


def _earlier(earlier: Sequence[Mapping[str, str]], *, verbose: bool) -> list[str]:
    """Unless all are wanted, only those that came close: the path was theirs."""
    close = [other for other in earlier if verbose or not other["why"].startswith("the path does not match")]
    lines = [f"       not {other['rule']} ({other['where']}): {other['why']}" for other in close]
    hidden = len(earlier) - len(close)
    return [*lines, f"       {hidden} before it for other paths (--verbose shows them)"] if hidden else lines


def _table(lines: list[dict[str, str]]) -> list[str]:
    if not lines:
        return []
    said = [", ".join(filter(None, (line["note"], line.get("term", "")))) for line in lines]
    cells = [(line["meter"], line["count"], line["rate"], line["amount"]) for line in lines]
    meters, counts, rates, amounts = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        f"       {meter:<{meters}}  {count:>{counts}} × {rate:<{rates}} = {amount:<{amounts}}  {why}".rstrip()
        for (meter, count, rate, amount), why in zip(cells, said, strict=True)
    ]


# --- Recordings ---------------------------------------------------------------------------------------------------


def _explain_all(
    rules: RuleSet, units: Mapping[str, Unit], entries: Sequence[Entry], *, as_json: bool, verbose: bool
) -> int:
    explanations, totals = [], dict.fromkeys(units, 0)
    for entry in entries:
        rehearsal = rehearse(rules, entry.request)
        explanation = explain(rules, units, entry.request)
        rule, quote = rehearsal.rule, rehearsal.quote
        if rule is not None and isinstance(quote, Quote):
            charged = charge(quote, entry.request, entry.answer)
            totals[rule.unit] += charged.amount
            amount = render(charged.amount, units[rule.unit])
            explanation["cost"] = {"amount": amount, "source": charged.source, "usage": charged.usage}
        explanations.append(explanation)
    costs = {name: render(total, units[name]) for name, total in totals.items() if total}
    refused = sum(not _passes(explanation) for explanation in explanations)
    if as_json:
        show_json({"entries": explanations, "cost": costs, "refused": refused})
    else:
        for explanation in explanations if verbose else ():
            _show(explanation, verbose=True)
            print()
        titles = ("request", "rule", "hold", "cost", "unit", "usage")
        show_table(titles, [_row(explanation) for explanation in explanations], numbers=("hold", "cost"))
        total = ", ".join(f"{amount} {name}" for name, amount in costs.items()) or "nothing"
        print(f"\n{plural(len(explanations), 'request')} for {total}; {refused} refused")
    return 1 if refused else 0


def _row(explanation: Mapping[str, Any]) -> tuple[str, ...]:
    rule, cost = explanation["rule"] or "", explanation.get("cost", {})
    if "refused" in explanation:
        note = f"refused as {explanation['refused']['code']}: {explanation['refused']['detail']}"
    elif explanation["rule"] is None:
        note = f"refused: {explanation['why']}"
    else:
        source = "" if explanation["free"] or cost["source"] == Source.REPORTED else f"charged: {cost['source']}"
        note = "free" if explanation["free"] else "; ".join(filter(None, (cost["usage"], source)))
    hold = explanation.get("hold", {}).get("amount", "")
    return (explanation["request"], rule, hold, cost.get("amount", ""), explanation.get("unit", ""), note)


def _passes(explanation: Mapping[str, Any]) -> bool:
    return explanation["rule"] is not None and "refused" not in explanation


# --- What was given -----------------------------------------------------------------------------------------------


def _request(args: argparse.Namespace) -> Request:
    *methods, url = args.words or [""]
    if not url or len(methods) > 1 or (methods and args.method):
        raise InvalidInput("Give one request: METHOD PATH, or a URL with -X, -H and -d as for curl; or --har FILE.")
    host, target = split_url(url)
    fields = dict(map(_field, args.header))
    if host:
        fields.setdefault(b"host", host)
    method = args.method or (methods[0] if methods else "GET" if args.body is None else "POST")
    body = b"" if args.body is None else _body(args.body)
    return Request(method=method.encode(), target=target, fields=fields, body=body, customer=args.customer or "")


def _field(header: str) -> tuple[bytes, bytes]:
    name, colon, value = header.partition(":")
    if not colon or not name.strip():
        raise InvalidInput(f"A header is written 'Name: value'; got {header!r}.")
    return name.strip().lower().encode(), value.strip().encode()


def _body(given: str) -> bytes:
    if not given.startswith("@"):
        return given.encode()
    try:
        return Path(given[1:]).read_bytes()
    except OSError as error:
        raise InvalidInput(f"The body's file {given[1:]} cannot be read: {error.strerror}.") from error


def _positions(given: str) -> dict[str, int]:
    positions = {}
    for part in given.split(","):
        meter, _, text = part.partition("=")
        number = parse_number(text)
        if not isinstance(number, int):
            raise InvalidInput(f"--position is METER=WHOLE NUMBER, as in pages=9990; got {part!r}.")
        positions[meter] = number
    return positions


def _usage(given: str, meters: tuple[str, ...]) -> dict[str, Number]:
    usage = {}
    for part in given.split(","):
        meter, _, text = part.partition("=")
        if meter not in meters:
            raise InvalidInput(f"The rule does not measure {meter!r}: {suggestion(meter, meters, listing='it has')}")
        number = parse_number(text)
        if number is None:
            raise InvalidInput(f"--usage is METER=NUMBER, as in input_tokens=1200; got {part!r}.")
        usage[meter] = number
    return usage
