"""`sidecar customers`: make, find, show, change and rename them, and say what they may take of a pool and owe."""

import argparse
import uuid
from urllib.parse import urlencode

from sidecar.cli.client import Client, Subparsers, add_command, customer_argument, customer_path, text_argument
from sidecar.cli.grant_terms import base_units, decimal, unit_of
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.domain.amounts import CREDITS, render
from sidecar.domain.ids import is_customer_id


def add(subparsers: Subparsers) -> None:
    about = "make, find and change customers"
    commands = subparsers.add_parser("customers", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = add_command(commands, "create", "make a customer, or find the one with this id", _create)
    create.add_argument("customer", type=customer_argument, help="your own id of the customer")
    create.add_argument("--name", type=text_argument, default="", help="a name for people")
    create.add_argument(
        "--parent",
        type=customer_argument,
        help="who pays for it, for ever: your own id of a customer, or ours (cus_…)",
    )
    show = add_command(commands, "show", "show a customer", _show)
    show.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    _add_list(commands)
    _add_changes(commands)
    cap = add_command(commands, "cap", "say how much a member of a pool may hold and spend, all in all", _cap)
    cap.add_argument("customer", type=customer_argument, help="your own id of the member, or ours (cus_…)")
    cap.add_argument("amount", type=_decimal_or_none, help="a decimal number such as 100, or none for no cap")
    cap.add_argument("--unit", default=CREDITS.name, help="what of (default: credits)")

    overage = add_command(commands, "overage", "say whether a customer is served beyond its credit", _overage)
    overage.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    overage.add_argument("policy", choices=("block", "allow", "notify"), help="block: it is refused")
    overage.add_argument("--limit", metavar="AMOUNT", type=decimal, help="how much it may owe (default: any amount)")
    overage.add_argument("--unit", default=CREDITS.name, help="what of (default: credits)")


def _add_list(commands: Subparsers) -> None:
    found = add_command(commands, "list", "list customers, the newest first", _list)
    found.add_argument("--search", type=text_argument, help="somewhere in the external id or the name")
    found.add_argument("--status", choices=("active", "suspended", "merged"))
    found.add_argument("--metadata", metavar="NAME:VALUE", type=text_argument, help="those that have this")
    found.add_argument("--limit", type=int, default=50, help="how many at most (default: 50, at most 250)")


def _add_changes(commands: Subparsers) -> None:
    for name, status, about in (
        ("suspend", "suspended", "refuse whatever a customer asks for"),
        ("resume", "active", "let a suspended customer spend again"),
    ):
        command = add_command(commands, name, about, _set_status)
        command.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
        command.set_defaults(status=status)
    rename = add_command(commands, "rename", "give a customer another id of yours", _rename)
    rename.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    rename.add_argument("new", type=customer_argument, help="your own id of it from now on")
    merge = add_command(commands, "merge", "let another customer be this one, for ever", _merge)
    merge.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    merge.add_argument("other", type=customer_argument, help="who is this customer from now on, likewise")
    merge.add_argument("--reason", default="", help="for people; kept in both ledgers")


def _create(args: argparse.Namespace, client: Client) -> None:
    wanted = {"external_id": args.customer, "display_name": args.name}
    if args.parent is not None:
        wanted["parent_customer_id" if is_customer_id(args.parent) else "parent_external_id"] = args.parent
    answer = client.call("POST", "/v1/customers", wanted)
    if args.json:
        show_json(answer.document)
        return
    who = f"{printable(args.customer)} ({answer.document['customer_id']})"
    pool = answer.document["parent_external_id"]
    of = f", in the pool of {printable(pool)}" if pool else ""
    print(f"Made customer {who}{of}." if answer.status == 201 else f"Customer {who}{of} was there already.")


def _show(args: argparse.Namespace, client: Client) -> None:
    customer = client.call("GET", customer_path(args.customer)).document
    if args.json:
        show_json(customer)
        return
    show_table(
        ("customer", "external id", "name", "status", "since", "paid by"),
        [
            [
                *(customer[name] for name in ("customer_id", "external_id", "display_name", "status", "created_at")),
                customer["parent_external_id"] or "itself",
            ]
        ],
    )


def _list(args: argparse.Namespace, client: Client) -> None:
    query = {name: getattr(args, name) for name in ("search", "status", "metadata", "limit") if getattr(args, name)}
    page = client.call("GET", f"/v1/customers?{urlencode(query)}").document
    if args.json:
        show_json(page)
        return
    shown = ("customer_id", "external_id", "display_name", "status", "created_at")
    show_table(
        ("customer", "external id", "name", "status", "since"),
        [[customer[name] for name in shown] for customer in page["data"]],
    )
    if page["pagination"]["has_more"]:
        print("There are more: narrow the search, or use --json and next_cursor.")


def _set_status(args: argparse.Namespace, client: Client) -> None:
    customer = client.call("PATCH", customer_path(args.customer), {"status": args.status}).document
    if args.json:
        show_json(customer)
        return
    print(f"{printable(customer['external_id'])} is {customer['status']}.")


def _rename(args: argparse.Namespace, client: Client) -> None:
    customer = client.call("POST", f"{customer_path(args.customer)}/rename", {"external_id": args.new}).document
    if args.json:
        show_json(customer)
        return
    print(f"{customer['customer_id']} is {printable(customer['external_id'])} now.")


def _merge(args: argparse.Namespace, client: Client) -> None:
    other = "from_customer_id" if is_customer_id(args.other) else "from_external_customer_id"
    wanted = {other: args.other, "reason": args.reason}
    # A repetition finishes what was begun, whatever its key.
    key = f"cli-{uuid.uuid4().hex}"
    merged = client.call("POST", f"{customer_path(args.customer)}/merge", wanted, idempotency_key=key).document
    if args.json:
        show_json(merged)
        return
    credit = ", ".join(
        f"{render(each['amount'], unit_of(client, each['unit']))} {each['unit']}" for each in merged["transferred"]
    )
    print(
        f"{printable(args.other)} is {printable(args.customer)} now, with {credit or 'no credit'} and "
        f"{merged['keys_moved']} proxy keys."
    )


def _cap(args: argparse.Namespace, client: Client) -> None:
    cap = None if args.amount is None else base_units(client, args.unit, args.amount)
    share = client.call("PUT", f"{customer_path(args.customer)}/pool", {"unit": args.unit, "cap": cap}).document
    if args.json:
        show_json(share)
        return
    may = "without a cap" if args.amount is None else f"up to {args.amount} {args.unit}, all in all"
    took = share["display"]
    print(f"{printable(args.customer)} may take {may}; it holds {took['held']} and has spent {took['spent']}.")


def _overage(args: argparse.Namespace, client: Client) -> None:
    limit = None if args.limit is None else base_units(client, args.unit, args.limit)
    wanted = {"policy": args.policy, "limit": limit, "unit": args.unit}
    policy = client.call("PUT", f"{customer_path(args.customer)}/overage-policy", wanted).document
    if args.json:
        show_json(policy)
        return
    most = f"as many {args.unit} as it needs" if args.limit is None else f"up to {args.limit} {args.unit}"
    may = "nothing" if args.policy == "block" else most
    print(f"{printable(args.customer)} may owe {may}.")


def _decimal_or_none(text: str) -> str | None:
    return None if text == "none" else decimal(text)
