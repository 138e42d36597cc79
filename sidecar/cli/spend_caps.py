"""`sidecar caps`: how much a customer may spend in windows of time, and how much it has."""

import argparse
from typing import Any

from sidecar.cli.client import Client, Subparsers, add_command, customer_argument, customer_path, text_argument
from sidecar.cli.grant_terms import base_units, decimal
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.domain.amounts import CREDITS

_WINDOWS = ("hour", "day", "week", "month")


def add(subparsers: Subparsers) -> None:
    about = "cap what a customer may spend in an hour, a day, …"
    commands = subparsers.add_parser("caps", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    made = add_command(commands, "add", "cap what a customer may spend, from now on", _add)
    _add_customer(made)
    made.add_argument("amount", type=decimal, help="a decimal number such as 100")
    made.add_argument("per", type=_window, help=f"{', '.join(_WINDOWS)}, or seconds for the last so many")
    made.add_argument("--tz", type=text_argument, help="the time zone whose calendar counts (default: UTC)")
    scope = made.add_mutually_exclusive_group()
    scope.add_argument("--feature", type=text_argument, help="only of this feature")
    scope.add_argument("--rule", type=text_argument, help="only of this rule")
    scope.add_argument("--key", metavar="KEY_ID", type=text_argument, help="only of this proxy key")
    made.add_argument("--notify", action="store_true", help="refuse nothing; count")
    made.add_argument(
        "--warn-at",
        metavar="PERCENT",
        type=int,
        action="append",
        default=[],
        help="show when this is reached; may be repeated",
    )
    listed = add_command(commands, "list", "show the caps of a customer, and how they stand", _list)
    _add_customer(listed, unit=None)
    removed = add_command(commands, "remove", "take a cap away", _remove)
    _add_customer(removed)
    removed.add_argument("cap", metavar="CAP_ID", type=text_argument, help="as `caps list` shows it")


def _add_customer(command: argparse.ArgumentParser, unit: str | None = CREDITS.name) -> None:
    command.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    command.add_argument("--unit", default=unit, help=f"what of (default: {unit or 'every unit'})")


def _add(args: argparse.Namespace, client: Client) -> None:
    scopes = {"feature": args.feature, "rule": args.rule, "key": args.key}
    scope = next((name for name, value in scopes.items() if value is not None), "total")
    wanted: dict[str, object] = {
        "amount": base_units(client, args.unit, args.amount),
        "unit": args.unit,
        "scope": scope,
        "action": "notify" if args.notify else "block",
        "warn_at": args.warn_at,
        ("window" if args.per in _WINDOWS else "rolling_seconds"): args.per,
    }
    if args.tz is not None:
        wanted["tz"] = args.tz
    if scope != "total":
        wanted["key_id" if scope == "key" else scope] = scopes[scope]
    cap = client.call("POST", f"{customer_path(args.customer)}/spend-caps", wanted).document
    if args.json:
        show_json(cap)
        return
    may = "is told beyond" if args.notify else "may spend"
    print(f"{printable(args.customer)} {may} {args.amount} {args.unit} {_per(cap)} ({cap['cap_id']}).")


def _list(args: argparse.Namespace, client: Client) -> None:
    query = "" if args.unit is None else f"?unit={args.unit}"
    page = client.call("GET", f"{customer_path(args.customer)}/spend-caps{query}").document
    if args.json:
        show_json(page)
        return
    show_table(
        ("cap", "unit", "amount", "window", "of", "spent", "held", "left", "reached", "reset at", "action"),
        [
            [
                *(cap["cap_id"], cap["unit"], cap["display"]["amount"], _per(cap), _of(cap)),
                *(cap["display"][name] for name in ("spent", "held", "left")),
                *(", ".join(f"{each} %" for each in cap["reached"]), cap["reset_at"], cap["action"]),
            ]
            for cap in page["data"]
        ],
    )


def _remove(args: argparse.Namespace, client: Client) -> None:
    path = f"{customer_path(args.customer)}/spend-caps/{args.cap}?unit={args.unit}"
    cap = client.call("DELETE", path).document
    if args.json:
        show_json(cap)
        return
    print(f"Took the cap {cap['cap_id']} of {printable(args.customer)} away.")


def _per(cap: dict[str, Any]) -> str:
    return f"a {cap['window']}" if cap["window"] else f"in {cap['rolling_seconds']} s"


def _of(cap: dict[str, Any]) -> str:
    return "all" if cap["scope"] == "total" else f"{cap['scope']} {cap['feature'] or cap['rule'] or cap['key_id']}"


def _window(text: str) -> str | int:
    if text in _WINDOWS:
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"one of {', '.join(_WINDOWS)}, or whole seconds; got {text!r}")
    return int(text)
