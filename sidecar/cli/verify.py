"""`sidecar verify`: proves that store and archive agree, to the last base unit. It needs no control API."""

import argparse
import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sidecar.cli import options
from sidecar.cli.client import customer_argument
from sidecar.cli.exits import exit_code
from sidecar.cli.screen import plural, printable, show_json, show_table
from sidecar.config.settings import Settings
from sidecar.domain.errors import NotFound
from sidecar.domain.ids import is_customer_id

if TYPE_CHECKING:
    from sidecar.services.verification import Report
    from sidecar.wiring.books import Books

_TITLES: Final = ("CUSTOMER", "UNIT", "WHAT", "EXPECTED", "FOUND")
_DRAIN_S: Final = 60.0

_EXAMPLES: Final = """\
Looks at every account while it is in use, and repairs nothing. Amounts are in base units.

exit codes: 0 all is well, 1 something differs, 2 not everything could be looked at

examples:
  sidecar verify                                  the bundled store and its archive
  sidecar verify --store redis://redis:6379 --customer alice
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "verify",
        help="prove that every account agrees with its holds and its ledger",
        description="Prove that every account agrees with its open holds and its ledger, and that nobody changed it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add(parser, "--store", "--data")
    parser.add_argument(
        "--customer", metavar="CUSTOMER", type=customer_argument, help="only this one, by your id or ours"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    return exit_code(lambda: asyncio.run(_verify(options.loaded(args).settings, args)), failed=2)


async def _verify(settings: Settings, args: argparse.Namespace) -> int:
    from sidecar.wiring.books import open_books  # noqa: PLC0415  (SQL, which other commands need not wait for)

    async with open_books(settings) as books:
        if books.alone:
            await books.archiver.drain(_DRAIN_S)
        report = await books.verification.run(await _customer_id(books, args.customer))
    if args.json:
        show_json(as_document(report))
    else:
        show_report(report)
    return 1 if report.differences_total else 0 if report.clean else 2


async def _customer_id(books: "Books", customer: str | None) -> str | None:
    if customer is None or is_customer_id(customer):
        return customer
    customer_id = await books.customers.resolve(customer)
    if customer_id is None:
        raise NotFound(f"There is no customer {customer!r}.")
    return customer_id


def as_document(report: "Report") -> dict[str, Any]:
    """The report for scripts."""
    return {"clean": report.clean, **msgspec.to_builtins(report)}


def show_report(report: "Report") -> None:
    """A table of what differs, what could not be looked at, and what was looked at."""
    if report.differences:
        rows = [msgspec.structs.astuple(each) for each in report.differences]
        show_table(_TITLES, [tuple(cell or "-" for cell in row) for row in rows])
    if (more := report.differences_total - len(report.differences)) > 0:
        print(f"… and {more} more")
    for why in report.unchecked:
        print(f"not looked at: {printable(why)}")
    books = f"{plural(report.customers, 'customer')}, {plural(report.accounts, 'account')}"
    entries = plural(report.entries, "ledger entry", "ledger entries")
    seen = f"{books}, {plural(report.holds, 'open hold')} and {entries}"
    if report.clean:
        print(f"All is well: {seen} add up.")
    else:
        counts = {"differences": report.differences_total, "not looked at": len(report.unchecked)}
        found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        print(f"Not all is well: {found}; {seen} were looked at.")
