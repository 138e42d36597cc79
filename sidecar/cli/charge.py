"""`sidecar charge`: charge a customer for something that was used, as a program would by POST /v1/usage."""

import argparse
import uuid
from typing import Any

from sidecar.cli import grant_terms
from sidecar.cli.client import Client, ClientError, Subparsers, Unclear, add_command, customer_argument
from sidecar.cli.screen import printable, show_json
from sidecar.domain.amounts import CREDITS, Unit, render
from sidecar.domain.ids import is_customer_id


def add(subparsers: Subparsers) -> None:
    charge = add_command(subparsers, "charge", "charge a customer for something that was used", _charge)
    charge.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    charge.add_argument(
        "amount", type=grant_terms.decimal, help="how much, as a decimal number; with --metric, units"
    )
    charge.add_argument("--metric", metavar="KEY", help="units of this billable metric, at its price")
    charge.add_argument("--unit", default=CREDITS.name, help="what the amount is of (default: credits)")
    charge.add_argument(
        "--event-id", metavar="ID", help="one id is charged once, for ever: repeat it safely (default: a new one)"
    )
    charge.add_argument("--dry-run", action="store_true", help="only say what it would cost")
    charge.add_argument("--no-enforce", action="store_true", help="charge in any case; what is not there is owed")


def _charge(args: argparse.Namespace, client: Client) -> None:
    event_id = args.event_id or f"cli-{uuid.uuid4().hex}"
    body: dict[str, Any] = {
        "customer_id" if is_customer_id(args.customer) else "external_customer_id": args.customer,
        "event_id": event_id,
        "dry_run": args.dry_run,
        "enforce": not args.no_enforce,
    }
    if args.metric:
        body |= {"billable_metric_key": args.metric, "units": str(args.amount)}
    else:
        body |= {"credits": grant_terms.base_units(client, args.unit, args.amount), "unit": args.unit}
    try:
        # The event id makes it safe; the key is of this attempt.
        answer = client.call("POST", "/v1/usage", body, idempotency_key=f"cli-{uuid.uuid4().hex}")
    except Unclear as error:
        raise ClientError(f"{error} Repeat it with `--event-id {event_id}`, and it is charged once.") from error
    charged = answer.document
    if args.json:
        show_json(charged)
        return
    did = "Would be charged" if args.dry_run else "Charged before" if charged["duplicate"] else "Charged"
    amount = charged["display"]["charged"] if "display" in charged else charged["cost"]
    owed = f", {_decimal(client, charged)} of it owed" if charged["overage"] else ""
    print(f"{did}: {amount} {charged['unit']} to {printable(args.customer)}{owed}.")


def _decimal(client: Client, charged: dict[str, Any]) -> str:
    units = client.call("GET", "/v1/units").document["data"]
    scale = next(each["scale"] for each in units if each["unit"] == charged["unit"])
    return render(charged["overage"], Unit(name=charged["unit"], scale=scale))
