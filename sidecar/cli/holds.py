"""`sidecar holds`: what is set aside for requests in flight."""

import argparse

from sidecar.cli.client import Client, Subparsers, add_command, customer_argument, customer_path
from sidecar.cli.screen import show_json, show_table


def add(subparsers: Subparsers) -> None:
    holds = add_command(subparsers, "holds", "list the open holds, of all customers or of one", _holds)
    holds.add_argument(
        "customer", nargs="?", type=customer_argument, help="your own id of the customer, or ours (cus_…)"
    )


def _holds(args: argparse.Namespace, client: Client) -> None:
    query = {}
    if args.customer is not None:
        query["customer_id"] = client.call("GET", customer_path(args.customer)).document["customer_id"]
    holds = list(client.pages("/v1/reservations", query))
    if args.json:
        show_json({"data": holds})
    elif holds:
        show_table(
            ("reservation", "customer", "unit", "held", "rule", "since", "until"),
            [
                [
                    *(hold["reservation_id"], hold["customer_id"], hold["unit"]),
                    # A unit that is not configured any more has no decimals to show.
                    str(hold.get("display", hold)["held"]),
                    *(hold["rule"], hold["created_at"], hold["expires_at"]),
                ]
                for hold in holds
            ],
        )
    else:
        print("Nothing is held.")
