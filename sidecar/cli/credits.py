"""`sidecar grant` and `sidecar balance`: credit in decimals, for people."""

import argparse
import re
import uuid

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
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.domain.amounts import CREDITS, Unit, parse
from sidecar.domain.errors import InvalidInput
from sidecar.domain.ids import is_customer_id

_COLUMNS = ("available", "held", "spent", "owed", "granted")
_VISIBLE = re.compile(r"[!-~]{1,255}\Z", re.ASCII)


def add(subparsers: Subparsers) -> None:
    grant = add_command(subparsers, "grant", "give a customer credit, and make the customer if it is new", _grant)
    grant.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    grant.add_argument("amount", type=_decimal, help="how much, as a decimal number such as 100 or 0.25")
    grant.add_argument("--unit", default=CREDITS.name, help="what of (default: credits)")
    grant.add_argument("--reason", type=text_argument, default="", help="why, for people; kept in the journal")
    grant.add_argument(
        "--source", type=text_argument, help="where it comes from, such as promotional (default: manual)"
    )
    grant.add_argument(
        "--idempotency-key",
        metavar="KEY",
        type=_visible,
        help="repeat a grant safely: with the key of an earlier one, nothing is given twice (default: a new one)",
    )
    balance = add_command(subparsers, "balance", "show what a customer has", _balance)
    balance.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")


def _grant(args: argparse.Namespace, client: Client) -> None:
    wanted = {"credits": _base_units(args, client), "unit": args.unit, "reason": args.reason}
    if args.source is not None:
        wanted["source"] = args.source
    created = False
    if not is_customer_id(args.customer):
        created = client.call("POST", "/v1/customers", {"external_id": args.customer}).status == 201
    key = args.idempotency_key or f"cli-{uuid.uuid4().hex}"
    path = f"{customer_path(args.customer)}/credits/grant"
    try:
        answer = client.call("POST", path, wanted, idempotency_key=key)
    except Unclear as error:
        raise ClientError(f"{error} Repeat it with `--idempotency-key {key}`, and it is done once.") from error
    if args.json:
        show_json(answer.document)
        return
    who, left = printable(args.customer), answer.document["balance"]["display"]
    if created:
        print(f"Made customer {who}.")
    done = "Granted before with this key, so nothing changed" if answer.replayed else "Granted"
    print(f"{done}: {args.amount} {args.unit} to {who}; {left['available']} available, {left['held']} held.")


def _balance(args: argparse.Namespace, client: Client) -> None:
    document = client.call("GET", f"{customer_path(args.customer)}/credits").document
    if args.json:
        show_json(document)
        return
    if not document["balances"]:
        who = printable(args.customer)
        print(f"{who} has no credit yet. To give some: sidecar grant {who} 100")
        return
    # A unit that is not configured any more has no decimals to show.
    rows = [
        [each["unit"], *(str(each.get("display", each)[name]) for name in _COLUMNS)] for each in document["balances"]
    ]
    show_table(("unit", *_COLUMNS), rows)


def _base_units(args: argparse.Namespace, client: Client) -> int:
    """The amount in base units, by the scale that the server has for the unit."""
    scales = {each["unit"]: each["scale"] for each in client.call("GET", "/v1/units").document["data"]}
    if args.unit not in scales:
        raise ClientError(f"There is no unit {args.unit!r}; there are: {', '.join(sorted(scales))}.")
    try:
        return parse(args.amount, Unit(name=args.unit, scale=scales[args.unit]))
    except InvalidInput as error:
        raise ClientError(error.detail) from error


def _decimal(text: str) -> str:
    """An argparse type: the shape of an amount. Its exact value needs the unit's scale."""
    if re.fullmatch(r"\d{1,16}(\.\d{1,18})?", text, re.ASCII) is None or not float(text):
        raise argparse.ArgumentTypeError(f"must be a decimal number above zero, such as 100 or 0.25; got {text!r}")
    return text


def _visible(text: str) -> str:
    if _VISIBLE.match(text) is None:
        raise argparse.ArgumentTypeError("must be 1 to 255 visible ASCII characters, no spaces")
    return text
