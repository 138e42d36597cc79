"""`sidecar topups`: what customers have paid for: packages, what was bought, what went back."""

import argparse
import uuid
from typing import Any

from sidecar.cli import grant_terms
from sidecar.cli.client import (
    Answer,
    Client,
    ClientError,
    Subparsers,
    Unclear,
    add_command,
    customer_argument,
    text_argument,
)
from sidecar.cli.screen import printable, show_json, show_table
from sidecar.cli.times import shown
from sidecar.domain.amounts import CREDITS, render
from sidecar.domain.ids import is_customer_id


def add(subparsers: Subparsers) -> None:
    about = "grant what was paid for, and take it back"
    commands = subparsers.add_parser("topups", help=about, description=f"{about.capitalize()}.").add_subparsers(
        required=True, metavar="COMMAND"
    )
    bought = add_command(commands, "grant", "grant what a customer has paid for", _grant)
    bought.add_argument("customer", type=customer_argument, help="your own id of the customer, or ours (cus_…)")
    bought.add_argument("package", type=text_argument, help="the key of the package that was bought")
    bought.add_argument("--payment-id", type=text_argument, help="the payment behind it; good for one, for ever")
    _add_key(bought)
    back = add_command(commands, "refund", "take a top-up back whose money went back", _refund)
    back.add_argument("topup", metavar="TOPUP_ID", type=text_argument, help="as `topups grant` shows it")
    back.add_argument("--let-go", action="store_true", help="let go what was spent of it (default: it is owed)")
    _add_key(back)
    add_command(commands, "packages", "show what is sold", _packages)
    add_command(commands, "requests", "show for whom somebody should be charged, since credit is low", _requests)
    declined = add_command(commands, "decline", "say that a request will not be fulfilled", _decline)
    declined.add_argument("request", metavar="REQUEST_ID", type=text_argument, help="as `topups requests` shows it")
    declined.add_argument("--reason", type=text_argument, default="", help="why; kept with it")


def _add_key(command: argparse.ArgumentParser) -> None:
    command.add_argument("--idempotency-key", metavar="KEY", type=text_argument, help="repeat it safely")


def _grant(args: argparse.Namespace, client: Client) -> None:
    who = "customer_id" if is_customer_id(args.customer) else "external_customer_id"
    wanted: dict[str, object] = {who: args.customer, "package_id": args.package}
    packages = client.call("GET", "/v1/topup-packages").document["data"]
    wanted["unit"] = next((each["unit"] for each in packages if each["key"] == args.package), CREDITS.name)
    if args.payment_id is not None:
        wanted["external_payment_id"] = args.payment_id
    answer = _once(args, client, "/v1/topup/grant", wanted)
    given = answer.document
    if args.json:
        show_json(given)
        return
    done = "Granted before, so nothing changed" if answer.replayed or given["duplicate"] else "Granted"
    unit = grant_terms.unit_of(client, given["unit"])
    bonus = f" and {render(given['bonus'], unit)} as a bonus" if given["bonus"] else ""
    what = f"{given['display']['granted']} {given['unit']}{bonus}"
    print(f"{done}: {what} to {printable(args.customer)} ({given['topup_id']}).")


def _refund(args: argparse.Namespace, client: Client) -> None:
    spent = "unrecoverable" if args.let_go else "debt"
    back = _once(args, client, f"/v1/topup/{args.topup}/refund", {"spent": spent}).document
    if args.json:
        show_json(back)
        return
    unit = grant_terms.unit_of(client, back["unit"])
    told = {
        name: f"{render(back[name], unit)} {unit.name}" for name in ("voided", "charged", "owed", "unrecoverable")
    }
    print(
        f"Took it back: {told['voided']} voided, {told['charged']} charged ({told['owed']} of it owed), "
        f"{told['unrecoverable']} let go."
    )


def _packages(args: argparse.Namespace, client: Client) -> None:
    page = client.call("GET", "/v1/topup-packages").document
    if args.json:
        show_json(page)
        return
    show_table(
        ("package", "name", "credits", "bonus", "unit", "price", "sold"),
        [_row(client, package) for package in page["data"]],
    )


def _requests(args: argparse.Namespace, client: Client) -> None:
    requests = list(client.pages("/v1/topup-requests", {"state": "outstanding"}))
    if args.json:
        show_json({"data": requests})
        return
    if not requests:
        print("Nobody should be charged now.")
        return
    rows = []
    for request in requests:
        unit = grant_terms.unit_of(client, request["unit"])
        left, made_at = render(request["balance"], unit), shown(request["made_at"])
        rows.append([request["request_id"], request["customer_id"], request["package_id"], left, unit.name, made_at])
    show_table(("request", "customer", "package", "left", "unit", "since"), rows, numbers=("left",))


def _decline(args: argparse.Namespace, client: Client) -> None:
    request = client.call("POST", f"/v1/topup-requests/{args.request}/decline", {"reason": args.reason}).document
    if args.json:
        show_json(request)
        return
    print(f"Declined {request['request_id']}: {request['customer_id']} is not charged for {request['package_id']}.")


def _row(client: Client, package: dict[str, Any]) -> list[str]:
    unit = grant_terms.unit_of(client, package["unit"])
    amounts = (render(package[name], unit) for name in ("credits", "bonus_credits"))
    price = f"{package['price']} {package['currency']}"
    return [package["key"], package["name"], *amounts, unit.name, price, "yes" if package["active"] else "no"]


def _once(args: argparse.Namespace, client: Client, path: str, wanted: dict[str, object]) -> Answer:
    key = args.idempotency_key or f"cli-{uuid.uuid4().hex}"
    try:
        return client.call("POST", path, wanted, idempotency_key=key)
    except Unclear as error:
        raise ClientError(f"{error} Repeat it with `--idempotency-key {key}`, and it is done once.") from error
