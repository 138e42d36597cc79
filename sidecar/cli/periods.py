"""`sidecar periods`: credit that a customer gets anew in each period, and what of it is carried into the next."""

import argparse
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from sidecar.cli.client import (
    Client,
    Subparsers,
    add_command,
    customer_argument,
    customer_path,
    text_argument,
)
from sidecar.cli.grant_terms import base_units, decimal, unit_of
from sidecar.cli.screen import printable, show_json
from sidecar.cli.times import instant, shown, span, written
from sidecar.domain.amounts import CREDITS, render


def add(subparsers: Subparsers) -> None:
    about = "give a customer credit in each period, and let expire what is not carried"
    commands = subparsers.add_parser("periods", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    setting = _add(commands, "set", "say what it gets in each period, and what is carried", _set)
    setting.add_argument("allocation", type=decimal, help="how much in each, as a decimal number such as 100")
    setting.add_argument("--carry", metavar="AMOUNT", type=decimal, help="most that is carried (default: any amount)")
    setting.add_argument("--carry-percent", metavar="N", type=int, default=100, help="of what is left (default: 100)")
    setting.add_argument("--carry-lasts", metavar="SPAN", type=span, help="how long that can be spent: such as 30d")
    setting.add_argument("--priority", metavar="N", type=int, default=0, help="the lower burns first (default: 0)")
    _add(commands, "show", "show what it gets, and when the last period began", _show)
    for name, what, at in (
        ("open", "give the credit of a period, once", "when it starts"),
        ("close", "let expire what is not carried, once", "when it ends"),
        ("roll", "close one period and open the next", "when the one ends and the next one starts"),
    ):
        command = _add(commands, name, what, _turn)
        command.add_argument("at", metavar="TIME", type=instant, help=f"{at}: such as 2027-01-01")
        command.add_argument("--reason", default="", help="for people; kept in the ledger")
        if name != "close":
            command.add_argument("--allocation", metavar="AMOUNT", type=decimal, help="how much, this time")
        command.add_argument("--idempotency-key", metavar="KEY", type=text_argument, help="repeat it safely")
        command.set_defaults(turn=name)


def _add(
    commands: Subparsers, name: str, about: str, work: Callable[[argparse.Namespace, Client], None]
) -> argparse.ArgumentParser:
    command = add_command(commands, name, about, work)
    command.add_argument("customer", type=customer_argument, help="your own id of it, or ours (cus_…)")
    command.add_argument("--unit", default=CREDITS.name, help="in which unit (default: credits)")
    return command


def _path(args: argparse.Namespace, what: str) -> str:
    return f"{customer_path(args.customer)}/periods/{what}"


def _set(args: argparse.Namespace, client: Client) -> None:
    lasts = {} if args.carry_lasts is None else {"carry_expires_in_seconds": int(args.carry_lasts.total_seconds())}
    wanted = {
        "unit": args.unit,
        "allocation": base_units(client, args.unit, args.allocation),
        "carry_limit": None if args.carry is None else base_units(client, args.unit, args.carry),
        "carry_percent": args.carry_percent,
        "priority": args.priority,
        **lasts,
    }
    _tell_terms(args, client, client.call("PUT", _path(args, "config"), wanted).document)


def _show(args: argparse.Namespace, client: Client) -> None:
    _tell_terms(args, client, client.call("GET", _path(args, f"config?unit={quote(args.unit, safe='')}")).document)


def _tell_terms(args: argparse.Namespace, client: Client, terms: dict[str, Any]) -> None:
    if args.json:
        show_json(terms)
        return
    unit = unit_of(client, args.unit)
    gets = "what is said" if terms["allocation"] is None else render(terms["allocation"], unit)
    limit = "" if terms["carry_limit"] is None else f", at most {render(terms['carry_limit'], unit)},"
    began = "; none was opened yet" if terms["period_start"] is None else f"; since {shown(terms['period_start'])}"
    carried = f"{terms['carry_percent']} % of what is left{limit} is carried"
    print(f"{printable(args.customer)} gets {gets} {args.unit} in each period; {carried}{began}.")


def _turn(args: argparse.Namespace, client: Client) -> None:
    wanted = {"unit": args.unit, "reason": args.reason}
    wanted["period_start" if args.turn == "open" else "period_end"] = written(args.at)
    if args.turn != "close" and args.allocation is not None:
        wanted["allocation"] = base_units(client, args.unit, args.allocation)
    key = args.idempotency_key or f"cli-{uuid.uuid4().hex}"
    turned = client.call("POST", _path(args, args.turn), wanted, idempotency_key=key).document
    if args.json:
        show_json(turned)
        return
    unit = unit_of(client, args.unit)
    if (closed := turned["closed"]) is not None:
        expired, carried = (render(closed[name], unit) for name in ("expired", "carried"))
        print(f"{'Closed before' if closed['duplicate'] else 'Closed'}: {expired} expired, {carried} carried.")
    if (opened := turned["opened"]) is not None:
        what = f"{render(opened['allocation'], unit)} {args.unit}; a balance of {render(opened['balance'], unit)}"
        print(f"{'Opened before' if opened['duplicate'] else 'Opened'}: {what}.")
