"""`sidecar tenants`: whoever sells through one control plane, each apart from all others."""

import argparse

from sidecar.cli.client import Client, Subparsers, add_command, text_argument
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.cli.times import shown

PATH = "/v1/admin/tenants"


def add(subparsers: Subparsers) -> None:
    about = "make and list tenants, each with customers, credit and keys of its own"
    commands = subparsers.add_parser("tenants", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = add_command(commands, "create", "make a tenant and show its first control keys, once", _create)
    create.add_argument(
        "tenant", type=text_argument, help="its name, for ever: small letters, digits and -, as its proxies have it"
    )
    create.add_argument("--name", type=text_argument, default="", help="a name for people")
    add_command(commands, "list", "list the tenants", _list)


def _create(args: argparse.Namespace, client: Client) -> None:
    made = client.call("POST", PATH, {"tenant": args.tenant, "name": args.name}).document
    if args.json:
        show_json(made)
        return
    print(f"Made tenant {made['tenant']}. Its first control keys may do everything there, and are shown this once:\n")
    for environment, key in made["keys"].items():
        print(f"{environment}  {key['secret']}")


def _list(args: argparse.Namespace, client: Client) -> None:
    tenants = list(client.pages(PATH))
    if args.json:
        show_json({"data": tenants})
        return
    rows = [
        [
            each["tenant"],
            printable(each["name"]),
            shown(each["created_at"]) if each["created_at"] else "the operator's",
        ]
        for each in tenants
    ]
    show_table(("tenant", "name", "since"), rows)
