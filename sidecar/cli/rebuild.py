"""`sidecar rebuild`: makes a lost store again from the archive, and verifies it."""

import argparse
import asyncio
from typing import Final

import msgspec

from sidecar.cli import options
from sidecar.cli.screen import plural, printable, show_json
from sidecar.cli.verify import as_document, show_report
from sidecar.config.settings import Settings

_EXAMPLES: Final = """\
Only an empty store is made again. Stop every sidecar first. What was held when the store was lost is available again.
It may be interrupted, and is then begun again with the same command.

example:
  sidecar rebuild --store redis://redis:6379
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "rebuild",
        help="make an empty store again from the archive",
        description="Make an empty store again from the archive: customers, keys, balances, blocks. Then verify it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add(parser, "--store", "--data")
    parser.add_argument("--json", action="store_true", help="one JSON object, for scripts")
    parser.set_defaults(run=lambda args: asyncio.run(_rebuild(options.loaded(args).settings, as_json=args.json)))


async def _rebuild(settings: Settings, *, as_json: bool) -> int:
    from sidecar.wiring.books import open_books  # noqa: PLC0415  (SQL, which other commands need not wait for)

    async with open_books(settings) as books:
        rebuilt = await books.rebuilding.run()
        report = await books.verification.run()
    if as_json:
        show_json({"rebuilt": msgspec.to_builtins(rebuilt), "verified": as_document(report)})
    else:
        made = f"{plural(rebuilt.customers, 'customer')} and {plural(rebuilt.accounts, 'account')}"
        print(f"Made {made} from {books.archive}.")
        for why in rebuilt.failed:
            print(f"not made: {printable(why)}")
        show_report(report)
    return 0 if report.clean and not rebuilt.failed else 1
