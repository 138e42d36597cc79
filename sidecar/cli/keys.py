"""`sidecar keys`: the proxy keys of a customer."""

import argparse
from urllib.parse import quote

from sidecar.cli.client import Client, Subparsers, add_command, customer_argument, customer_path, text_argument
from sidecar.cli.screen import printable, show_json, show_table

_CUSTOMER = "your own id of the customer, or ours (cus_…)"


def add(subparsers: Subparsers) -> None:
    about = "make, list and revoke the keys that customers call the proxy with"
    commands = subparsers.add_parser("keys", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = add_command(commands, "create", "make a key and show its secret, once", _create)
    create.add_argument("customer", type=customer_argument, help=_CUSTOMER)
    create.add_argument("--name", type=text_argument, default="", help="a name for people")
    create.add_argument("-q", "--quiet", action="store_true", help="print the secret and nothing else, for scripts")
    listing = add_command(commands, "list", "list the keys of a customer", _list)
    listing.add_argument("customer", type=customer_argument, help=_CUSTOMER)
    revoke = add_command(commands, "revoke", "revoke a key; it is refused at once", _revoke)
    revoke.add_argument("customer", type=customer_argument, help=_CUSTOMER)
    revoke.add_argument(
        "key_id", metavar="KEY_ID", type=text_argument, help="the id of the key, as `sidecar keys list` shows it"
    )


def _create(args: argparse.Namespace, client: Client) -> None:
    key = client.call("POST", f"{customer_path(args.customer)}/keys", {"name": args.name}).document
    if args.json:
        show_json(key)
        return
    if args.quiet:
        print(key["secret"])
        return
    print(
        f"Made key {key['key_id']} for {printable(args.customer)}. Its secret is shown this once:\n\n{key['secret']}"
    )


def _list(args: argparse.Namespace, client: Client) -> None:
    keys = list(client.pages(f"{customer_path(args.customer)}/keys"))
    if args.json:
        show_json({"data": keys})
    elif keys:
        members = ("key_id", "name", "hint", "created_at")
        show_table(("key", "name", "secret", "since"), [[key[name] for name in members] for key in keys])
    else:
        who = printable(args.customer)
        print(f"{who} has no keys. To make one: sidecar keys create {who}")


def _revoke(args: argparse.Namespace, client: Client) -> None:
    key = client.call("DELETE", f"{customer_path(args.customer)}/keys/{quote(args.key_id, safe='')}").document
    if args.json:
        show_json(key)
        return
    print(f"Revoked key {key['key_id']} of {printable(args.customer)}.")
