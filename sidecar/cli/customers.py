"""`sidecar customers`: make a customer, show one."""

import argparse

from sidecar.cli.client import Client, Subparsers, add_command, customer_argument, customer_path, text_argument
from sidecar.cli.screen import printable, show_json, show_table


def add(subparsers: Subparsers) -> None:
    about = "make and show customers"
    commands = subparsers.add_parser("customers", help=about, description="Make and show customers.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = add_command(commands, "create", "make a customer, or find the one with this id", _create)
    create.add_argument("customer", type=customer_argument, help="your own id of the customer")
    create.add_argument("--name", type=text_argument, default="", help="a name for people")
    show = add_command(commands, "show", "show a customer", _show)
    show.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")


def _create(args: argparse.Namespace, client: Client) -> None:
    answer = client.call("POST", "/v1/customers", {"external_id": args.customer, "display_name": args.name})
    if args.json:
        show_json(answer.document)
        return
    who = f"{printable(args.customer)} ({answer.document['customer_id']})"
    print(f"Made customer {who}." if answer.status == 201 else f"Customer {who} was there already.")


def _show(args: argparse.Namespace, client: Client) -> None:
    customer = client.call("GET", customer_path(args.customer)).document
    if args.json:
        show_json(customer)
        return
    show_table(
        ("customer", "external id", "name", "status", "since"),
        [[customer[name] for name in ("customer_id", "external_id", "display_name", "status", "created_at")]],
    )
