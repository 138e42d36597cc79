"""`sidecar ledger` and `sidecar usage`: what happened, and what it comes to."""

import argparse
import itertools
import sys
from collections.abc import Mapping
from typing import Any

from sidecar.cli.client import (
    Client,
    Subparsers,
    add_command,
    configured_units,
    count_argument,
    customer_argument,
    customer_path,
    text_argument,
)
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.cli.times import add_span, shown, span_of
from sidecar.domain.amounts import Unit, render

_FILTERS = ("type", "unit", "reservation_id", "feature", "rule")
_PAGE = 500


def add(subparsers: Subparsers) -> None:
    ledger = add_command(
        subparsers, "ledger", "show what happened on a customer's accounts, the newest first", _ledger
    )
    ledger.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    ledger.add_argument("--type", type=text_argument, help="only these, such as grant or commit,late_commit")
    ledger.add_argument("--unit", type=text_argument, help="only of this unit")
    ledger.add_argument(
        "--reservation", dest="reservation_id", metavar="ID", type=text_argument, help="only of this reservation"
    )
    ledger.add_argument("--feature", type=text_argument, help="only requests of this feature")
    ledger.add_argument("--rule", type=text_argument, help="only requests of this rule")
    add_span(ledger)
    ledger.add_argument(
        "--limit", metavar="N", type=count_argument, default=50, help="show at most so many (default: 50)"
    )
    ledger.add_argument(
        "--csv", action="store_true", help="print all of them as CSV, the oldest first, in base units"
    )
    usage = add_command(subparsers, "usage", "add up what requests were charged, of all customers or of one", _usage)
    usage.add_argument(
        "customer", nargs="?", type=customer_argument, help="your own id of the customer, or ours (cus_…)"
    )
    usage.add_argument(
        "--by",
        metavar="WHAT",
        type=text_argument,
        default="feature",
        help="one or two of feature, rule, customer, model, source, hour, day, such as model,day, or of what prices "
        "were chosen by, such as request.size (default: feature)",
    )
    usage.add_argument("--unit", type=text_argument, help="only of this unit")
    add_span(usage)


def _ledger(args: argparse.Namespace, client: Client) -> None:
    path = f"{customer_path(args.customer)}/ledger"
    query = {name: value for name in _FILTERS if (value := getattr(args, name)) is not None} | span_of(args)
    if args.csv:
        for piece in client.download(f"{path}/export", {**query, "format": "csv"}):
            sys.stdout.buffer.write(piece)
        return
    query["limit"] = str(min(args.limit, _PAGE))
    entries = list(itertools.islice(client.pages(path, query), args.limit))
    if args.json:
        show_json({"data": entries})
    elif entries:
        units = configured_units(client)
        show_table(
            ("time", "type", "unit", "amount", "balance", "what for"),
            [_row(entry, units) for entry in entries],
            numbers=("amount", "balance"),
        )
    else:
        print(f"Nothing like that happened to {printable(args.customer)}.")


def _row(entry: Mapping[str, Any], units: Mapping[str, Unit]) -> list[str]:
    """Debt counts as less than nothing, so that the amounts add up to the balance."""
    amount, balance = entry["delta"] - entry["owed_delta"], entry["balance_after"] - entry["after"]["owed"]
    unit = entry["unit"]
    return [
        *(shown(entry["event_time"]), entry["type"], unit),
        *(_decimal(units, unit, amount), _decimal(units, unit, balance), _what_for(entry)),
    ]


def _what_for(entry: Mapping[str, Any]) -> str:
    source, ends = entry.get("source", ""), entry.get("expires_at")
    words = (
        *(entry.get("rule"), entry.get("model")),
        "" if source == "reported" else source,
        entry.get("reason"),
        f"until {shown(ends)}" if ends and entry["type"] in {"grant", "extension"} else "",
        entry.get("block_id") or entry.get("reservation_id"),
    )
    return " ".join(word for word in words if word)


def _usage(args: argparse.Namespace, client: Client) -> None:
    query = {"group_by": args.by, **span_of(args)}
    if args.unit is not None:
        query["unit"] = args.unit
    if args.customer is not None:
        query["customer_id"] = client.call("GET", customer_path(args.customer)).document["customer_id"]
    rows = list(client.pages("/v1/usage/summary", query))
    if args.json:
        show_json({"data": rows})
    elif rows:
        groups, amounts = list(rows[0]["group"]), ("charged", "estimated", "uncollected")
        show_table(
            (*groups, "unit", "requests", *amounts, "meters"),
            [
                [
                    *(_group(name, row["group"][name]) for name in groups),
                    *(row["unit"], str(row["entries"])),
                    # A unit that is not configured any more has no decimals to show.
                    *(str(row.get("display", row)[name]) for name in amounts),
                    " ".join(f"{meter}={read}" for meter, read in sorted(row["meters"].items())),
                ]
                for row in rows
            ],
            numbers=("requests", *amounts),
        )
    else:
        print("Nothing was charged.")


def _group(name: str, value: str) -> str:
    return {"hour": value[:13].replace("T", " ") + "h", "day": value[:10]}.get(name, value)


def _decimal(units: Mapping[str, Unit], unit: str, amount: int) -> str:
    """A unit that is not configured any more has no decimals to show."""
    return render(amount, units[unit]) if unit in units else str(amount)
