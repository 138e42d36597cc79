"""`sidecar rules replay`: what the usage of the past would have cost under other rules, before they are rolled out.

It reads the ledger through the control API as it is sent, one settlement after the other, so that a laptop with the
API's key is enough, however long the past is.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Any

import msgspec

from sidecar.cli import options
from sidecar.cli.client import (
    Client,
    Subparsers,
    add_address,
    configured_units,
    connected,
    count_argument,
    customer_argument,
    customer_path,
)
from sidecar.cli.rules_read import configured
from sidecar.cli.screen import plural, printable, show_json, show_table
from sidecar.cli.times import add_span, instant, span_of
from sidecar.domain.amounts import Unit, render
from sidecar.domain.errors import InvalidInput
from sidecar.domain.journal import Kind
from sidecar.domain.price import parse_markup
from sidecar.domain.replay import Change, Left, Note, Replay
from sidecar.domain.repricing import Past, Why
from sidecar.domain.usage_words import recorded

_DESCRIPTION = """\
Price the usage in the ledger under the rules of --rules, and show the difference by rule and by customer. Rules are
found by their names: which requests they match is not replayed, nor is what was refused or released. What cannot be
priced again is counted, with the reason, and never guessed. Exit 1 if the difference is above --fail-above.
"""
_SETTLEMENTS = f"{Kind.COMMIT},{Kind.LATE_COMMIT},{Kind.STEP_COMMIT}"
_WHY: Mapping[Why, str] = {
    Why.RULE_GONE: "there is no rule of this name",
    Why.OTHER_UNIT: "its unit now is",
    Why.CHARGED_BY_HOLD: "charged by the hold, since usage was unknown",
    Why.CHARGED_BEFORE: "repeated by its client, and charged before",
    Why.NOT_RECORDED: "not recorded, and the price depends on it:",
    Why.UNPRICED: "no price",
}
_AMOUNTS = ("old", "new", "difference")
_NOTES = {
    "never_read": "has a rate, and nothing was read of it: counted as 0",
    "not_measured": "was read, and the rule does not measure it: counted as 0",
}


class _Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What matters here of an entry of the ledger."""

    customer_id: str
    unit: str
    event_time: datetime
    asked_by: str = ""
    reserved_at: datetime | None = None
    rule: str = ""
    charged: int = 0
    uncollected: int = 0
    usage: str = ""
    source: str = ""


def add(commands: Subparsers) -> None:
    """``sidecar rules replay``."""
    text = "price the usage of the past under other rules"
    replay = commands.add_parser("replay", help=text, description=_DESCRIPTION)
    options.add(replay, "--rules", "--data")
    add_address(replay)
    add_span(replay)
    replay.add_argument("--at", metavar="TIME", type=instant, help="the prices in force then, not at each one's time")
    replay.add_argument(
        "--customer", metavar="CUSTOMER", type=customer_argument, help="only of this one, by your id or ours"
    )
    replay.add_argument(
        "--rename",
        metavar="OLD=NEW",
        type=_renamed,
        action="append",
        default=[],
        help="a rule that has another name now; may be repeated",
    )
    replay.add_argument(
        "--limit",
        metavar="N",
        type=count_argument,
        default=20,
        help="so many rules, customers and reasons are shown (default: 20)",
    )
    replay.add_argument(
        "--fail-above",
        metavar="PERCENT",
        type=_percent,
        help="exit 1 if the total of any unit changes by more than this, such as 5%%; what cannot be priced counts "
        "as changed, except what was charged by its hold",
    )
    replay.add_argument("--json", action="store_true", help="print JSON, amounts in base units")
    replay.set_defaults(run=_replay)


def _replay(args: argparse.Namespace) -> int:
    client = connected(args)
    units = configured_units(client)
    rules = configured(options.loaded(args).settings, units)
    renamed = dict(args.rename)
    known = {rule.name for rule in rules.rules}
    strange = next((new for new in renamed.values() if new not in known), None)
    if strange is not None:
        raise InvalidInput(f"--rename: there is no rule {strange!r} in the rules of --rules.")
    replay = Replay(rules, renamed, None if args.at is None else args.at.timestamp())
    path = "/v1" if args.customer is None else customer_path(args.customer)
    query = {"type": _SETTLEMENTS, "format": "ndjson", **span_of(args)}
    names = _Names(client)
    for settlement in _settlements(client.download(f"{path}/ledger/export", query)):
        asked_by = settlement.asked_by or settlement.customer_id
        replay.add(_past(settlement, asked_by, names.of(asked_by) if replay.needs_external_ids else ""))
    document = _document(replay, units, names, args.limit)
    if args.json:
        show_json(document)
    else:
        _show(document)
    return 0 if args.fail_above is None or _within(replay, args.fail_above) else 1


class _Names:
    """The external ids of customers, each asked for once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, str] = {}

    def of(self, customer_id: str) -> str:
        if customer_id not in self._known:
            customer = self._client.call("GET", f"/v1/customers/{customer_id}").document
            self._known[customer_id] = customer["external_id"]
        return self._known[customer_id]


def _settlements(pieces: Iterator[bytes]) -> Iterator[_Settlement]:
    """The lines of an export."""
    decode = msgspec.json.Decoder(_Settlement).decode
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from map(decode, lines)


def _past(settlement: _Settlement, asked_by: str, external_id: str) -> Past:
    return Past(
        rule=settlement.rule,
        unit=settlement.unit,
        customer_id=asked_by,
        payer_id=settlement.customer_id,
        external_id=external_id,
        at_s=(settlement.reserved_at or settlement.event_time).timestamp(),
        cost=settlement.charged + settlement.uncollected,
        source=settlement.source,
        said=recorded(settlement.usage),
    )


def _within(replay: Replay, most: Fraction) -> bool:
    """Whether no unit changes by more than this part of what it came to."""
    old: dict[str, int] = {}
    changed: dict[str, int] = {}
    for total in replay.totals:
        old[total.unit] = total.old
        changed[total.unit] = abs(total.difference)
    for left in replay.left:
        if left.why not in (Why.CHARGED_BY_HOLD, Why.CHARGED_BEFORE):
            old[left.unit] = old.get(left.unit, 0) + left.cost
            changed[left.unit] = changed.get(left.unit, 0) + left.cost
    return all(change <= most * old[unit] for unit, change in changed.items())


# --- What is shown ------------------------------------------------------------------------------------------------


def _document(replay: Replay, units: Mapping[str, Unit], names: _Names, limit: int) -> dict[str, Any]:
    return {
        "totals": [_change(change, units) for change in replay.totals],
        "rules": [{"rule": change.name} | _change(change, units) for change in replay.rules[:limit]],
        "customers": [
            {"customer_id": change.name, "external_id": names.of(change.name)} | _change(change, units)
            for change in replay.customers[:limit]
        ],
        "not_priced": [_left(left, units) for left in replay.left[:limit]],
        "more": {
            "rules": max(len(replay.rules) - limit, 0),
            "customers": max(len(replay.customers) - limit, 0),
            "not_priced": max(len(replay.left) - limit, 0),
        },
        "estimated": replay.estimated,
        "notes": [msgspec.to_builtins(note) | {"detail": _note(note)} for note in replay.notes],
    }


def _change(change: Change, units: Mapping[str, Unit]) -> dict[str, Any]:
    amounts = {"old": change.old, "new": change.new, "difference": change.difference}
    return {
        "unit": change.unit,
        "settlements": change.settlements,
        **amounts,
        "display": {name: render(amount, units[change.unit]) for name, amount in amounts.items()},
        "percent": round(100 * change.difference / change.old, 2) if change.old else None,
    }


def _left(left: Left, units: Mapping[str, Unit]) -> dict[str, Any]:
    unit = units.get(left.unit)
    return {
        "why": left.why,
        "rule": left.rule,
        "detail": " ".join(filter(None, (_WHY[left.why], left.what))),
        "unit": left.unit,
        "settlements": left.settlements,
        "cost": left.cost,
        "display": {"cost": str(left.cost) if unit is None else render(left.cost, unit)},
    }


def _note(note: Note) -> str:
    return f"{note.rule}: {note.meter} {_NOTES[note.what]}"


def _show(document: Mapping[str, Any]) -> None:
    more = document["more"]
    if document["totals"]:
        _show_changes("total", [("", row) for row in document["totals"]])
        _show_changes("rule", [(row["rule"], row) for row in document["rules"]], more["rules"])
        customers = [(f"{row['external_id']} ({row['customer_id']})", row) for row in document["customers"]]
        _show_changes("customer", customers, more["customers"])
    if document["not_priced"]:
        rows = [
            (left["rule"], left["unit"], str(left["settlements"]), left["display"]["cost"], left["detail"])
            for left in document["not_priced"]
        ]
        show_table(("not priced", "unit", "settlements", "cost", "why"), rows, numbers=("settlements", "cost"))
        _show_more(more["not_priced"])
    elif not document["totals"]:
        print("Nothing was charged.")
    if document["estimated"]:
        print(f"{plural(document['estimated'], 'settlement')} had been charged by usage that was not reported.")
    for note in document["notes"]:
        print(f"{printable(note['detail'])}.")


def _show_changes(title: str, rows: Sequence[tuple[str, Mapping[str, Any]]], more: int = 0) -> None:
    cells = [
        (
            *(name, row["unit"], str(row["settlements"])),
            *(row["display"][amount] for amount in _AMOUNTS),
            "" if row["percent"] is None else f"{row['percent']:+} %",
        )
        for name, row in rows
    ]
    show_table(
        (title, "unit", "settlements", *_AMOUNTS, "change"), cells, numbers=("settlements", *_AMOUNTS, "change")
    )
    _show_more(more)
    print()


def _show_more(more: int) -> None:
    if more:
        print(f"… and {more} more (--limit)")


# --- What was given -----------------------------------------------------------------------------------------------


def _renamed(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise argparse.ArgumentTypeError(f"must be OLD=NEW, two names of rules; got {text!r}")
    return old, new


def _percent(text: str) -> Fraction:
    try:
        return parse_markup(text)
    except InvalidInput as error:
        raise argparse.ArgumentTypeError(f"must be a percentage from 0%, such as 5%; got {text!r}") from error
