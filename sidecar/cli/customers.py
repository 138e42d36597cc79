"""`sidecar customers`: make a customer, show one, say what a member may take of its pool."""

import argparse

from sidecar.cli.client import Client, Subparsers, add_command, customer_argument, customer_path, text_argument
from sidecar.cli.grant_terms import base_units, decimal
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.domain.amounts import CREDITS
from sidecar.domain.ids import is_customer_id


def add(subparsers: Subparsers) -> None:
    about = "make and show customers"
    commands = subparsers.add_parser("customers", help=about, description="Make and show customers.").add_subparsers(
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
    cap = add_command(commands, "cap", "say how much a member of a pool may hold and spend, all in all", _cap)
    cap.add_argument("customer", type=customer_argument, help="your own id of the member, or ours (cus_…)")
    cap.add_argument("amount", type=_decimal_or_none, help="a decimal number such as 100, or none for no cap")
    cap.add_argument("--unit", default=CREDITS.name, help="what of (default: credits)")


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


def _cap(args: argparse.Namespace, client: Client) -> None:
    cap = None if args.amount is None else base_units(client, args.unit, args.amount)
    share = client.call("PUT", f"{customer_path(args.customer)}/pool", {"unit": args.unit, "cap": cap}).document
    if args.json:
        show_json(share)
        return
    may = "without a cap" if args.amount is None else f"up to {args.amount} {args.unit}, all in all"
    took = share["display"]
    print(f"{printable(args.customer)} may take {may}; it holds {took['held']} and has spent {took['spent']}.")


def _decimal_or_none(text: str) -> str | None:
    return None if text == "none" else decimal(text)
