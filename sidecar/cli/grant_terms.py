"""The terms of `sidecar grant`: its options, and what they are for the control API."""

import argparse
import re
from datetime import timedelta
from typing import Final

from sidecar.cli.client import Client, ClientError, text_argument
from sidecar.cli.times import ahead, instant, written
from sidecar.domain.amounts import Unit, parse
from sidecar.domain.errors import InvalidInput

# ISO 4217: what the smallest unit of a currency is, where it is not a hundredth.
_WHOLE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"


def add(parser: argparse.ArgumentParser) -> None:
    """The options of the terms; without any, the credit is for everything and for ever."""
    parser.add_argument("--reason", type=text_argument, help="why, for people; kept in the ledger")
    parser.add_argument(
        "--source", type=text_argument, help="where it comes from, such as promotional (default: manual)"
    )
    parser.add_argument("--priority", metavar="N", type=int, help="the lower burns first (default: 0)")
    parser.add_argument(
        "--expires",
        metavar="TIME",
        type=ahead,
        help="when it ends: such as 2027-01-31, or 30d for thirty days after its start",
    )
    parser.add_argument(
        "--starts", metavar="TIME", type=instant, help="it cannot be spent before, such as 2027-01-31"
    )
    parser.add_argument("--after", metavar="BLOCK_ID", type=text_argument, help="it starts when this block is over")
    parser.add_argument(
        "--paid",
        nargs=2,
        metavar=("PRICE", "CURRENCY"),
        type=text_argument,
        help="what was paid for it, such as 5.00 EUR",
    )
    parser.add_argument(
        "--feature", action="append", type=text_argument, help="only for requests of this feature; may be repeated"
    )
    parser.add_argument(
        "--rule", action="append", type=text_argument, help="only for requests of this rule; may be repeated"
    )
    parser.add_argument("--wallet", type=text_argument, help="your name of the purse that it belongs to")
    parser.add_argument("--series", type=text_argument, help="the grants that --cap counts together")
    parser.add_argument("--cap", metavar="AMOUNT", type=decimal, help="give no more than keeps the series at this")
    parser.add_argument(
        "--metadata", action="append", default=[], metavar="KEY=VALUE", type=_pair, help="yours; may be repeated"
    )
    parser.add_argument("--dedup-key", metavar="KEY", type=text_argument, help="good for one grant, for ever")
    parser.add_argument(
        "--payment-id", metavar="ID", type=text_argument, help="the payment behind it; good for one grant, for ever"
    )


def read(args: argparse.Namespace, client: Client) -> dict[str, object]:
    """The fields of the request; what was not said is left out. ClientError."""
    wanted: dict[str, object | None] = {
        "reason": args.reason,
        "source": args.source,
        "priority": args.priority,
        "starts_after_block_id": args.after,
        "eligible_features": args.feature,
        "eligible_rules": args.rule,
        "wallet": args.wallet,
        "series": args.series,
        "cap": None if args.cap is None else base_units(client, args.unit, args.cap),
        "metadata": dict(args.metadata) or None,
        "dedup_key": args.dedup_key,
        "external_payment_id": args.payment_id,
    }
    if isinstance(args.expires, timedelta):
        wanted["duration_seconds"] = int(args.expires.total_seconds())
    elif args.expires is not None:
        wanted["expires_at"] = written(args.expires)
    if args.starts is not None:
        wanted["starts_at"] = written(args.starts)
    if args.paid is not None:
        wanted["price_paid"], wanted["currency"] = _price(*args.paid)
    return {name: value for name, value in wanted.items() if value is not None}


def base_units(client: Client, unit: str, amount: str) -> int:
    """A decimal amount in base units, by the scale that the server has for the unit. ClientError."""
    return _parsed(amount, unit_of(client, unit), "amount")


def unit_of(client: Client, name: str) -> Unit:
    """A unit as the server has it. ClientError."""
    scales = {each["unit"]: each["scale"] for each in client.call("GET", "/v1/units").document["data"]}
    if name not in scales:
        raise ClientError(f"There is no unit {name!r}; there are: {', '.join(sorted(scales))}.")
    return Unit(name=name, scale=scales[name])


def decimal(text: str) -> str:
    """An argparse type: the shape of an amount. Its exact value needs the unit's scale."""
    if re.fullmatch(r"\d{1,16}(\.\d{1,18})?", text, re.ASCII) is None or not float(text):
        raise argparse.ArgumentTypeError(f"must be a decimal number above zero, such as 100 or 0.25; got {text!r}")
    return text


def _price(price: str, currency: str) -> tuple[int, str]:
    scale = 0 if currency in _WHOLE.split() else 3 if currency in _THOUSANDTHS.split() else 2
    return _parsed(price, Unit(name=currency, scale=scale), "--paid"), currency


def _parsed(text: str, unit: Unit, what: str) -> int:
    try:
        return parse(text, unit, what)
    except InvalidInput as error:
        raise ClientError(error.detail) from error


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text_argument(text).partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE; got {text!r}")
    return key, value
