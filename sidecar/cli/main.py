"""The `sidecar` command: finds the subcommand, runs it, exits with its code.

A client command must start at once, so what is heavy (the HTTP servers, the store) is imported only where it is run.

Exit codes: 0 done, 1 could not, 2 wrong usage, 130 and 143 ended by a signal; `verify` has its own, see its help.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from sidecar import __version__
from sidecar.cli import (
    charge,
    check,
    clock,
    config,
    control_keys,
    customers,
    demo,
    events,
    holds,
    injector,
    keys,
    ledger,
    periods,
    rebuild,
    rules,
    run,
    spend_caps,
    store,
    tenants,
    topups,
    transfers,
    verify,
)
from sidecar.cli import credits as credit
from sidecar.cli.exits import exit_code

_EXAMPLES: Final = """\
examples:
  sidecar demo                                    see it work, in half a minute
  sidecar run --upstream http://127.0.0.1:9000 --rules rules/http.yaml
  sidecar grant alice 100                         give a customer 100 credits
  sidecar keys create alice                       make the key that alice sends
  sidecar balance alice                           what is left
  sidecar ledger alice                            what happened, and what it was for
"""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one command line (the process's own if absent) and exit with its code."""
    args = parser().parse_args(argv)
    try:
        code = exit_code(lambda: int(args.run(args)))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`sidecar holds | head`): nobody is left to tell, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def parser() -> argparse.ArgumentParser:
    """The whole command line. Each subcommand's module adds its own, `run` being the function that does it."""
    top = argparse.ArgumentParser(
        prog="sidecar",
        description="Put credits in front of an HTTP API: hold before each request, charge the real cost after it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sidecar {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        run,
        demo,
        credit,
        charge,
        check,
        ledger,
        events,
        customers,
        spend_caps,
        topups,
        transfers,
        periods,
        keys,
        control_keys,
        tenants,
        clock,
        holds,
        rules,
        config,
        store,
        verify,
        rebuild,
        injector,
    ):
        module.add(subparsers)
    return top
