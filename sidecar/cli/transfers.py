"""`sidecar transfer`: credit that one customer gives to another."""

import argparse
import uuid

from sidecar.cli import grant_terms
from sidecar.cli.client import (
    Client,
    ClientError,
    Subparsers,
    Unclear,
    add_command,
    customer_argument,
    customer_path,
    text_argument,
)
from sidecar.cli.screen import printable, show_json
from sidecar.domain.amounts import CREDITS, render
from sidecar.domain.ids import is_customer_id


def add(subparsers: Subparsers) -> None:
    command = add_command(subparsers, "transfer", "give some of a customer's credit to another one", _transfer)
    command.add_argument("giver", type=customer_argument, help="who gives it: your own id, or ours (cus_…)")
    command.add_argument("receiver", type=customer_argument, help="who gets it, likewise")
    command.add_argument("amount", type=grant_terms.decimal, help="how much, as a decimal number such as 100 or 0.25")
    command.add_argument("--unit", default=CREDITS.name, help="what of (default: credits)")
    command.add_argument("--reason", default="", help="for people; kept in both ledgers")
    command.add_argument("--idempotency-key", metavar="KEY", type=text_argument, help="repeat it safely")


def _transfer(args: argparse.Namespace, client: Client) -> None:
    to = "to_customer_id" if is_customer_id(args.receiver) else "to_external_customer_id"
    amount = grant_terms.base_units(client, args.unit, args.amount)
    wanted = {"credits": amount, "unit": args.unit, to: args.receiver, "reason": args.reason}
    key = args.idempotency_key or f"cli-{uuid.uuid4().hex}"
    try:
        answer = client.call("POST", f"{customer_path(args.giver)}/credits/transfer", wanted, idempotency_key=key)
    except Unclear as error:
        raise ClientError(f"{error} Repeat it with `--idempotency-key {key}`, and it is done once.") from error
    given = answer.document
    if args.json:
        show_json(given)
        return
    done = "Given before with this key, so nothing changed" if answer.replayed else "Given"
    what = f"{render(given['transferred'], grant_terms.unit_of(client, args.unit))} {args.unit}"
    later = "" if given["state"] == "arrived" else "; it arrives when there is room for it"
    left = f"{given['balance']['display']['available']} left"
    who = f"{printable(args.giver)} to {printable(args.receiver)}"
    print(f"{done}: {what} from {who} ({given['transfer_id']}){later}; {left}.")
