"""`sidecar control-keys`: the keys that programs call the control API with."""

import argparse
from typing import Any
from urllib.parse import quote

from sidecar.cli import tenants
from sidecar.cli.client import Client, Subparsers, add_command, text_argument
from sidecar.cli.screen import show_json, show_table
from sidecar.cli.times import ahead, instant_of, shown, span, written

_PATH = "/v1/admin/api-keys"


def add(subparsers: Subparsers) -> None:
    about = "make, list, rotate and revoke the keys of the control API"
    commands = subparsers.add_parser("control-keys", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = add_command(commands, "create", "make a key and show its secret, once", _create)
    create.add_argument("--name", type=text_argument, default="", help="a name for people")
    create.add_argument(
        "--scope",
        dest="scopes",
        action="append",
        type=text_argument,
        help="what it may do, such as credits:write; once for each; * for everything (default: it may read)",
    )
    create.add_argument("--environment", choices=("live", "test"), help="of a key of live: make one of test")
    create.add_argument("--tenant", type=text_argument, help="for whom the operator makes it (default: for its own)")
    create.add_argument("--expires", metavar="TIME", type=ahead, help="when it ends: such as 2027-01-31, or 90d")
    add_command(commands, "list", "list the keys", _list)
    rotate = add_command(commands, "rotate", "give a key a new secret and show it, once", _rotate)
    rotate.add_argument(
        "key_id", metavar="KEY_ID", type=text_argument, help="as `sidecar control-keys list` shows it"
    )
    rotate.add_argument(
        "--grace",
        metavar="SPAN",
        type=span,
        help="so long the former secret works too: such as 1h, 0s (default: 1d)",
    )
    revoke = add_command(commands, "revoke", "revoke a key; it is refused within a second", _revoke)
    revoke.add_argument(
        "key_id", metavar="KEY_ID", type=text_argument, help="as `sidecar control-keys list` shows it"
    )


def _create(args: argparse.Namespace, client: Client) -> None:
    given = {"name": args.name, "scopes": args.scopes, "environment": args.environment, "expires_at": None}
    if args.expires is not None:
        given["expires_at"] = written(instant_of(args.expires))
    body = {name: value for name, value in given.items() if value is not None}
    path = _PATH if args.tenant is None else f"{tenants.PATH}/{quote(args.tenant, safe='')}/api-keys"
    _show_secret(args, client.call("POST", path, body).document, "Made")


def _list(args: argparse.Namespace, client: Client) -> None:
    keys = list(client.pages(_PATH))
    if args.json:
        show_json({"data": keys})
    elif keys:
        show_table(
            ("key", "name", "scopes", "secret", "status", "last used"),
            [
                [
                    key["key_id"],
                    key["name"],
                    " ".join(key["scopes"]),
                    key["hint"],
                    key["status"],
                    shown(key["last_used_at"]) if key["last_used_at"] else "never",
                ]
                for key in keys
            ],
        )
    else:
        print("There are no control keys but the operator's own. To make one: sidecar control-keys create")


def _rotate(args: argparse.Namespace, client: Client) -> None:
    body = {} if args.grace is None else {"grace_seconds": int(args.grace.total_seconds())}
    _show_secret(args, client.call("POST", f"{_at(args)}/rotate", body).document, "Rotated")


def _revoke(args: argparse.Namespace, client: Client) -> None:
    key = client.call("POST", f"{_at(args)}/revoke").document
    if args.json:
        show_json(key)
        return
    print(f"Revoked control key {key['key_id']}.")


def _at(args: argparse.Namespace) -> str:
    return f"{_PATH}/{quote(args.key_id, safe='')}"


def _show_secret(args: argparse.Namespace, key: dict[str, Any], did: str) -> None:
    if args.json:
        show_json(key)
        return
    may = " ".join(key["scopes"]) or "nothing"
    print(
        f"{did} control key {key['key_id']}, which may do: {may}. Its secret is shown this once:\n\n{key['secret']}"
    )
