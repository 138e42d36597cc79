"""`sidecar clock`: what time it is in the `test` environment, which can be another one than it is."""

import argparse
from typing import Any

from sidecar.cli.client import Client, Subparsers, add_command
from sidecar.cli.screen import show_json
from sidecar.cli.times import instant, shown, span, written

PATH = "/v1/test/clock"


def add(subparsers: Subparsers) -> None:
    about = "look at the clock of the test environment, or move it forwards"
    commands = subparsers.add_parser("clock", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    add_command(commands, "show", "say what time it is there", _show)
    advance = add_command(commands, "advance", "let time pass at once", _advance)
    advance.add_argument("span", metavar="SPAN", type=span, help="how much: such as 90m, 30d")
    set_to = add_command(commands, "set", "let it be another time, later than it is there", _set)
    set_to.add_argument("now", metavar="TIME", type=instant, help="such as 2030-01-31 or 2030-01-31T12:00:00Z")


def _show(args: argparse.Namespace, client: Client) -> None:
    _tell(args, client.call("GET", PATH).document)


def _advance(args: argparse.Namespace, client: Client) -> None:
    _tell(args, client.call("POST", f"{PATH}/advance", {"seconds": int(args.span.total_seconds())}).document)


def _set(args: argparse.Namespace, client: Client) -> None:
    _tell(args, client.call("PUT", PATH, {"now": written(args.now)}).document)


def _tell(args: argparse.Namespace, clock: dict[str, Any]) -> None:
    if args.json:
        show_json(clock)
        return
    ahead = clock["ahead_seconds"]
    print(f"It is {shown(clock['now'])}, {ahead:,.0f} s ahead of the real time." if ahead else "It is the real time.")
