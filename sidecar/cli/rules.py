"""`sidecar rules`: check rule files, and explain what one request would match, hold and cost. Needs no server.

Both read files exactly as `sidecar run` does. An explanation is one record, shown as text or as JSON.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidecar.cli import options
from sidecar.cli.client import Subparsers
from sidecar.cli.screen import printable, show_json
from sidecar.config.problems import ConfigError, Problem, suggestion
from sidecar.config.rules import load_rules, rule_files
from sidecar.config.settings import Settings
from sidecar.domain.amounts import MAX_AMOUNT, Unit, render
from sidecar.domain.errors import InvalidInput
from sidecar.domain.paths import normalise
from sidecar.domain.price import Line, Number, exact_text, number_text, parse_number, rate_text
from sidecar.domain.quotes import Quote, RequestFacts
from sidecar.domain.rules import Rule, RuleSet

_METHODS = "GET, POST, …"


def add(subparsers: Subparsers) -> None:
    """``sidecar rules check`` and ``sidecar rules explain``."""
    text = "check rule files, and explain what a request would cost"
    commands = subparsers.add_parser("rules", help=text, description=text + ".").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    check = commands.add_parser("check", help="find every mistake in rule files", description=_CHECK)
    check.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help="a file or a folder (default: rules.paths)"
    )
    check.add_argument("--config", metavar="FILE", type=Path, help="settings in YAML, for units of your own")
    check.set_defaults(run=_check)
    explain = commands.add_parser("explain", help="which rule, which hold, which cost", description=_EXPLAIN)
    options.add(explain, "--rules")
    explain.add_argument("method", metavar="METHOD", help=_METHODS)
    explain.add_argument("path", metavar="PATH", help="path of the request, with its query if it has one")
    explain.add_argument(
        "-H", "--header", metavar="'NAME: VALUE'", action="append", default=[], help="may be repeated"
    )
    explain.add_argument("-d", "--data", dest="body", metavar="BODY|@FILE", default="", help="the request's body")
    explain.add_argument("--usage", metavar="METER=N,…", default="", help="what the answer reports, to see its cost")
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.set_defaults(run=_explain)


_CHECK = "Read rule files as `sidecar run` does and show every problem with its place. Exit 1 if there is any."
_EXPLAIN = "Show which rule a request matches and why not an earlier one, what is held, and what given usage costs."


def _check(args: argparse.Namespace) -> int:
    settings = options.loaded(args).settings
    paths = args.paths or _configured(settings)
    rules = load_rules(paths, _units(settings))
    for file in rule_files(paths):
        count = sum(rule.where.rpartition(":")[0] == str(file) for rule in rules.rules)
        print(f"{file}: {count} rule{'s'[: count != 1]}, no problem")
    return 0


def _explain(args: argparse.Namespace) -> int:
    settings = options.loaded(args).settings
    units = _units(settings)
    explanation = explain(
        load_rules(_configured(settings), units),
        units,
        method=args.method,
        target=args.path,
        headers=args.header,
        body=_body(args.body),
        usage=args.usage,
    )
    if args.json:
        show_json(explanation)
    else:
        print("\n".join(map(printable, _lines(explanation))))
    return 0 if explanation.get("rule") and "refused" not in explanation else 1


def explain(
    rules: RuleSet,
    units: Mapping[str, Unit],
    *,
    method: str,
    target: str,
    headers: list[str],
    body: bytes,
    usage: str,
) -> dict[str, Any]:
    """What the proxy would do with this request, for JSON; InvalidInput for a header or usage that cannot be read."""
    raw_path, _, query = target.partition("?")
    fields = dict(map(_field, headers))
    path = normalise(raw_path.encode())
    if path is None:
        return {"request": f"{method} {target}", "rule": None, "why": "the path is ambiguous or malformed"}
    host = fields.get(b"host", b"")
    rule = rules.match(method.encode(), path, host, fields)
    explanation: dict[str, Any] = {
        "request": f"{method} {target}",
        "rule": rule.name if rule is not None else None,
        "earlier": [
            {
                "rule": earlier.name,
                "where": earlier.where,
                "why": earlier.match.why_not(method.encode(), path, host, fields)
                or "servers may read the path in two ways, which have different rules",
            }
            for earlier in rules.rules[: rules.rules.index(rule) if rule is not None else None]
        ],
    }
    if rule is None:
        return explanation | {"why": "no rule matches"}
    explanation |= {"where": rule.where, "free": rule.free}
    if rule.free:
        return explanation
    facts = RequestFacts(fields, path, query.encode(), body, len(body))
    quote = rule.quote(facts)
    if not isinstance(quote, Quote):
        return explanation | {"refused": {"code": quote.code, "detail": quote.detail}}
    return explanation | _priced(rule, quote, facts, units[rule.unit], usage)


def _priced(rule: Rule, quote: Quote, facts: RequestFacts, unit: Unit, usage: str) -> dict[str, Any]:
    quoter, tariff = rule.quoter, quote.tariff
    priced: dict[str, Any] = {"unit": unit.name, "hold": {"amount": render(quote.hold, unit)}}
    if not isinstance(quoter.hold, int):
        estimate = quoter.estimate(facts)
        # Meters that nothing is estimated for would only say that they cost nothing.
        lines = [line for line in quote.price.lines(estimate) if line.read]
        terms = {meter: term.text for meter, term in quoter.hold.items()}
        priced["hold"]["lines"] = [_line(line, unit) | {"term": terms.get(line.meter, "")} for line in lines]
    if tariff.max_charge < MAX_AMOUNT:
        priced["max_charge"] = render(tariff.max_charge, unit)
    if quote.body is not None:
        priced["asks"] = "the stream is asked to report its usage, and the client does not see that"
    if usage:
        read = _usage(usage, tariff.meters.names)
        lines = [line for line in quote.price.lines(read) if line.read]
        priced["cost"] = {"amount": render(quote.cost(read), unit), "lines": [_line(line, unit) for line in lines]}
    return priced


def _line(line: Line, unit: Unit) -> dict[str, str]:
    amount = exact_text(line.amount / 10**unit.scale)
    return {
        "meter": line.meter,
        "count": number_text(line.read),
        "rate": rate_text(line.rate, unit),
        "amount": amount,
    }


def _lines(explanation: Mapping[str, Any]) -> list[str]:
    lines = [explanation["request"]]
    if explanation["rule"] is None:
        lines.append(f"rule   none: {explanation['why']}; such a request is refused")
    else:
        lines.append(f"rule   {explanation['rule']} ({explanation['where']}){', free' * explanation['free']}")
    lines += [
        f"       not {other['rule']} ({other['where']}): {other['why']}" for other in explanation.get("earlier", ())
    ]
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
    return lines


def _table(lines: list[dict[str, str]]) -> list[str]:
    if not lines:
        return []
    cells = [(line["meter"], line["count"], line["rate"], line["amount"], line.get("term", "")) for line in lines]
    meters, counts, rates, amounts, _ = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        f"       {meter:<{meters}}  {count:>{counts}} × {rate:<{rates}} = {amount:<{amounts}}  {term}".rstrip()
        for meter, count, rate, amount, term in cells
    ]


def _configured(settings: Settings) -> list[Path]:
    paths = [Path(path) for path in settings.rules.paths]
    if not paths:
        raise ConfigError([Problem(file="rules.paths", message="no rule files", hint="give one: --rules PATH")])
    return paths


def _units(settings: Settings) -> dict[str, Unit]:
    return {name: Unit(name=name, scale=unit.scale) for name, unit in settings.units.items()}


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
