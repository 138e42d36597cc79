"""`sidecar keys`: the proxy keys of a customer, and what they may do."""

import argparse
from typing import Any
from urllib.parse import quote

from sidecar.cli.client import Client, Subparsers, add_command, customer_argument, customer_path, text_argument
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.cli.times import ahead, instant_of, shown, span, written

_CUSTOMER = "your own id of the customer, or ours (cus_…)"
_KEY_ID = "the id of the key, as `sidecar keys list` shows it"


def add(subparsers: Subparsers) -> None:
    about = "make, list, rotate and revoke the keys that customers call the proxy with"
    commands = subparsers.add_parser("keys", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = add_command(commands, "create", "make a key and show its secret, once", _create)
    create.add_argument("customer", type=customer_argument, help=_CUSTOMER)
    create.add_argument("--name", type=text_argument, default="", help="a name for people")
    create.add_argument("-q", "--quiet", action="store_true", help="print the secret and nothing else, for scripts")
    create.add_argument("--expires", metavar="TIME", type=ahead, help="when it ends: such as 2027-01-31, or 90d")
    create.add_argument(
        "--feature",
        dest="features",
        action="append",
        type=text_argument,
        help="it works only for rules with this feature; may be repeated",
    )
    create.add_argument("--rate", type=_rate, help="how many requests in which time: such as 60/1m")
    listing = add_command(commands, "list", "list the keys of a customer", _list)
    listing.add_argument("customer", type=customer_argument, help=_CUSTOMER)
    rotate = add_command(commands, "rotate", "give a key another secret and show it, once", _rotate)
    rotate.add_argument("customer", type=customer_argument, help=_CUSTOMER)
    rotate.add_argument("key_id", metavar="KEY_ID", type=text_argument, help=_KEY_ID)
    rotate.add_argument(
        "--grace", metavar="SPAN", type=span, help="so long the former secret works too: such as 1h, 0s (default: 1d)"
    )
    revoke = add_command(commands, "revoke", "revoke a key; it is refused at once", _revoke)
    revoke.add_argument("customer", type=customer_argument, help=_CUSTOMER)
    revoke.add_argument("key_id", metavar="KEY_ID", type=text_argument, help=_KEY_ID)


def _create(args: argparse.Namespace, client: Client) -> None:
    limits = {
        "expires_at": None if args.expires is None else written(instant_of(args.expires)),
        "features": args.features,
        "rate": args.rate,
    }
    given = {name: value for name, value in limits.items() if value is not None}
    key = client.call("POST", f"{customer_path(args.customer)}/keys", {"name": args.name, **given}).document
    if args.quiet and not args.json:
        print(key["secret"])
        return
    _show_secret(args, key, "Made")


def _list(args: argparse.Namespace, client: Client) -> None:
    keys = list(client.pages(f"{customer_path(args.customer)}/keys"))
    if args.json:
        show_json({"data": keys})
    elif keys:
        members = ("key_id", "name", "hint", "status", "created_at")
        rows = [[*(key[name] for name in members), _limits(key)] for key in keys]
        show_table(("key", "name", "secret", "status", "since", "limits"), rows)
    else:
        who = printable(args.customer)
        print(f"{who} has no keys. To make one: sidecar keys create {who}")


def _rotate(args: argparse.Namespace, client: Client) -> None:
    body = {} if args.grace is None else {"grace_seconds": int(args.grace.total_seconds())}
    _show_secret(args, client.call("POST", f"{_at(args)}/rotate", body).document, "Rotated")


def _revoke(args: argparse.Namespace, client: Client) -> None:
    key = client.call("DELETE", _at(args)).document
    if args.json:
        show_json(key)
        return
    print(f"Revoked key {key['key_id']} of {printable(args.customer)}.")


def _at(args: argparse.Namespace) -> str:
    return f"{customer_path(args.customer)}/keys/{quote(args.key_id, safe='')}"


def _show_secret(args: argparse.Namespace, key: dict[str, Any], did: str) -> None:
    if args.json:
        show_json(key)
        return
    who = printable(args.customer)
    print(f"{did} key {key['key_id']} for {who}. Its secret is shown this once:\n\n{key['secret']}")


def _limits(key: dict[str, Any]) -> str:
    """What a key may do less than its customer, in few words."""
    said = []
    if key["expires_at"] is not None:
        said.append(f"until {shown(key['expires_at'])}")
    if key["features"] is not None:
        said.append(" or ".join(key["features"]))
    if (rate := key["rate"]) is not None:
        said.append(f"{rate['requests']}/{rate['period_seconds']}s")
    said += [f"{cap['amount']} {cap['unit']} in a {cap['window'] or 'window'}" for cap in key["spend_caps"]]
    return ", ".join(said) or "none"


def _rate(text: str) -> dict[str, int]:
    requests, _, period = text.partition("/")
    if not requests.isdecimal() or not period:
        raise argparse.ArgumentTypeError(f"must be such as 60/1m; got {text!r}")
    return {"requests": int(requests), "period_seconds": int(span(period).total_seconds())}
