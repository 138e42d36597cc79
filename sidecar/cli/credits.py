"""`sidecar grant` and `sidecar balance`: credit in decimals, for people."""

import argparse
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.cli import grant_terms
from sidecar.cli.client import (
    Client,
    ClientError,
    Subparsers,
    Unclear,
    add_command,
    customer_argument,
    customer_path,
)
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.cli.times import past, shown, written
from sidecar.domain.amounts import CREDITS
from sidecar.domain.ids import is_customer_id

_COLUMNS = ("available", "held", "spent", "owed", "granted")
_SELDOM = ("scheduled", "expired", "voided")
"""Shown only where there is any."""
_VISIBLE = re.compile(r"[!-~]{1,255}\Z", re.ASCII)


def add(subparsers: Subparsers) -> None:
    grant = add_command(subparsers, "grant", "give a customer credit, and make the customer if it is new", _grant)
    grant.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    grant.add_argument("amount", type=grant_terms.decimal, help="how much, as a decimal number such as 100 or 0.25")
    grant.add_argument("--unit", default=CREDITS.name, help="what of (default: credits)")
    grant.add_argument(
        "--idempotency-key",
        metavar="KEY",
        type=_visible,
        help="repeat a grant safely: with the key of an earlier one, nothing is given twice (default: a new one)",
    )
    grant_terms.add(grant)
    balance = add_command(subparsers, "balance", "show what a customer has", _balance)
    balance.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    balance.add_argument("--blocks", action="store_true", help="show its credit blocks too, in the order they burn")
    balance.add_argument(
        "--counters", action="store_true", help="show what it has used in the periods that prices count over, too"
    )
    balance.add_argument(
        "--at",
        metavar="TIME",
        type=past,
        help="show what it had then: such as 2027-01-31T12:00:00Z, 2027-01-31, or 7d for seven days ago",
    )


def _grant(args: argparse.Namespace, client: Client) -> None:
    wanted = {"credits": grant_terms.base_units(client, args.unit, args.amount), "unit": args.unit}
    wanted |= grant_terms.read(args, client)
    created = False
    if not is_customer_id(args.customer):
        created = client.call("POST", "/v1/customers", {"external_id": args.customer}).status == 201
    key = args.idempotency_key or f"cli-{uuid.uuid4().hex}"
    path = f"{customer_path(args.customer)}/credits/grant"
    try:
        answer = client.call("POST", path, wanted, idempotency_key=key)
    except Unclear as error:
        raise ClientError(f"{error} Repeat it with `--idempotency-key {key}`, and it is done once.") from error
    if args.json:
        show_json(answer.document)
        return
    if created:
        print(f"Made customer {printable(args.customer)}.")
    print(_granted(args, answer.document, replayed=answer.replayed))


def _granted(args: argparse.Namespace, given: Mapping[str, Any], *, replayed: bool) -> str:
    who, left = printable(args.customer), given["balance"]["display"]
    done = "Granted before with this key, so nothing changed" if replayed or given["duplicate"] else "Granted"
    cut = f", {given['display']['withheld']} withheld by the cap" if given["withheld"] else ""
    what = f"{given['display']['granted']} {args.unit} to {who}{cut}"
    later = f", {left['scheduled']} scheduled" if given["balance"]["scheduled"] else ""
    return f"{done}: {what}; {left['available']} available, {left['held']} held{later}."


def _balance(args: argparse.Namespace, client: Client) -> None:
    query = {"include_blocks": "true"} if args.blocks else {}
    if args.at is not None:
        query["at"] = written(args.at)
    path = customer_path(args.customer)
    document = client.call("GET", f"{path}/credits", query=query).document
    counters = client.call("GET", f"{path}/counters").document["counters"] if args.counters else []
    if args.json:
        show_json(document | {"counters": counters} if args.counters else document)
        return
    _show_balances(args, document)
    if counters:
        print()
        columns = ("counter", "period", "position", "held")
        show_table(columns, [[str(each[name]) for name in columns] for each in counters], numbers=columns[2:])


def _show_balances(args: argparse.Namespace, document: Mapping[str, Any]) -> None:
    who, balances = printable(args.customer), document["balances"]
    if not balances:
        print(
            f"{who} had no credit then."
            if args.at
            else f"{who} has no credit yet. To give some: sidecar grant {who} 100"
        )
        return
    seldom = [name for name in _SELDOM if any(each[name] for each in balances)]
    columns = (*_COLUMNS[:2], *seldom, *_COLUMNS[2:])
    show_table(("unit", *columns), [[each["unit"], *(_amount(each, name) for name in columns)] for each in balances])
    if document["payer_customer_id"] != document["customer_id"]:
        _show_shares(document)
    if blocks := [block for each in balances for block in each.get("blocks", ())]:
        print()
        _show_blocks(blocks)


def _show_shares(document: Mapping[str, Any]) -> None:
    print(f"\nThis is the pool of {document['payer_customer_id']}; {printable(document['external_id'])} itself:\n")
    rows = [
        [share["unit"], *(_amount(share, name) for name in ("held", "spent")), _amount(share, "cap")]
        for share in document.get("shares", ())
    ]
    show_table(("unit", "held", "spent", "cap"), rows)


def _show_blocks(blocks: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        [
            str(block["burn_position"] or ""),
            *(block["block_id"], block["unit"], block["state"]),
            _amount(block, "available" if block["state"] == "active" else "scheduled"),
            *(_amount(block, name) for name in ("held", "granted")),
            *(str(block["priority"]), block["source"]),
            shown(block["starts_at"]) if block["starts_at"] else "",
            shown(block["expires_at"]) if block["expires_at"] else "never",
        ]
        for block in blocks
    ]
    show_table(
        ("burns", "block", "unit", "state", "left", "held", "granted", "priority", "source", "starts", "expires"),
        rows,
    )


def _amount(of: Mapping[str, Any], name: str) -> str:
    """In decimals; a unit that is not configured any more has none to show."""
    amount = of.get("display", of)[name]
    return "none" if amount is None else str(amount)


def _visible(text: str) -> str:
    if _VISIBLE.match(text) is None:
        raise argparse.ArgumentTypeError("must be 1 to 255 visible ASCII characters, no spaces")
    return text
