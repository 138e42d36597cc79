"""`sidecar events`: what happened to customers and their credit, and what is happening."""

import argparse
import itertools
from collections.abc import Iterable, Mapping
from json import dumps
from time import sleep
from typing import Any, Final

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
from sidecar.cli.screen import printable, show_json
from sidecar.cli.times import add_span, shown, span_of
from sidecar.domain.amounts import Unit, render

POLL_S: Final = 1.0
_AMOUNTS: Final = frozenset({"amount", "threshold", "owed", "held", "charged", "unrecoverable", "spent", "carried"})
_LEFT_OUT: Final = frozenset({"balance", "entry_id"})


def add(subparsers: Subparsers) -> None:
    about = "show what happened to customers and their credit, the newest last"
    events = add_command(subparsers, "events", about, _events)
    events.add_argument(
        "customer", nargs="?", type=customer_argument, help="your own id of the customer, or ours (cus_…)"
    )
    events.add_argument("--type", type=text_argument, help="only these, such as topup.requested,credits.low_balance")
    add_span(events)
    events.add_argument(
        "--limit", metavar="N", type=count_argument, default=20, help="show at most so many (default: 20)"
    )
    events.add_argument(
        "--follow", action="store_true", help="then show what comes, until it is interrupted; JSON is one a line"
    )


def _events(args: argparse.Namespace, client: Client) -> None:
    query = span_of(args)
    if args.type is not None:
        query["type"] = args.type
    if args.customer is not None:
        query["customer_id"] = client.call("GET", customer_path(args.customer)).document["customer_id"]
    limit = {"limit": str(min(args.limit, 250))}
    last = list(itertools.islice(client.pages("/v1/events", query | limit), args.limit))[::-1]
    if args.json and not args.follow:
        show_json({"data": last})
        return
    units = configured_units(client)
    _print(args, last, units)
    if not last and not args.follow:
        print("Nothing like that happened.")
    while args.follow:
        sleep(POLL_S)
        after = {"after": str(last[-1]["sequence"] if last else 0)}
        come = list(client.pages("/v1/events", query | after))
        _print(args, come, units)
        last = come or last


def _print(args: argparse.Namespace, events: Iterable[dict[str, Any]], units: Mapping[str, Unit]) -> None:
    for event in events:
        print(dumps(event, ensure_ascii=False) if args.json else _line(event, units), flush=args.follow)


def _line(event: Mapping[str, Any], units: Mapping[str, Unit]) -> str:
    unit, data = units.get(event["unit"]), event["data"]
    told = [
        f"{name}={render(value, unit) if unit and name in _AMOUNTS else value}"
        for name, value in data.items()
        if name not in _LEFT_OUT and value is not None and value != ""
    ]
    who = event["external_id"] or event["customer_id"]
    words = (shown(event["occurred_at"]), f"{event['type']:<22}", who, event["unit"], *told)
    return printable("  ".join(word for word in words if word))
