"""`sidecar check`: whether a customer could use something now. It holds nothing."""

import argparse
from typing import Any
from urllib.parse import quote

from sidecar.cli import grant_terms
from sidecar.cli.client import (
    Client,
    Subparsers,
    add_command,
    configured_units,
    customer_argument,
    customer_path,
    text_argument,
)
from sidecar.cli.screen import printable, show_json
from sidecar.domain.amounts import Unit, render


def add(subparsers: Subparsers) -> None:
    check = add_command(subparsers, "check", "say whether a customer could use a feature now", _check)
    check.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    check.add_argument("feature", type=text_argument, help="a billable metric's key, or a feature of the rule files")
    check.add_argument("--units", type=grant_terms.decimal, default=1, help="how many (default: 1)")


def _check(args: argparse.Namespace, client: Client) -> None:
    path = f"{customer_path(args.customer)}/entitlements/{quote(args.feature, safe='')}"
    found = client.call("GET", path, query={"units": str(args.units)}).document
    if args.json:
        show_json(found)
        return
    who, what = printable(args.customer), f"{args.units} {printable(args.feature)}"
    if found["allowed"]:
        print(f"{who} could use {what}: {_numbers(client, found)}")
    else:
        print(f"{who} could not use {what} ({found['reason']}): {_numbers(client, found)}")


def _numbers(client: Client, found: dict[str, Any]) -> str:
    """What it would cost, what there is, and for how many that is enough."""
    unit = configured_units(client).get(found["unit"], Unit(name=found["unit"], scale=0))
    left = found["effective_balance"]
    there = f"{'-' * (left < 0)}{render(abs(left), unit)} {unit.name} are there"
    if found["estimated_cost"] is None:
        return f"what it costs depends on the request, and {there}."
    most = "" if found["max_units"] is None else f", enough for {found['max_units']}"
    return f"it would cost {render(found['estimated_cost'], unit)}, and {there}{most}."
