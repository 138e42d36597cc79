"""`sidecar demo`: the whole story, with nothing to set up and nothing left behind."""

import argparse
from typing import Final

from sidecar.cli import logs
from sidecar.config.settings import Log

_ABOUT: Final = "show holds, charges and a refusal, with a toy upstream and a temporary data folder"
_MORE: Final = """\
A toy chat API is started with a proxy in front of it. A customer gets credit and spends it on a plain and on a
streaming request, until one request is too many. Everything goes through real sockets and a real store, and
everything is gone afterwards.
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "demo", help=_ABOUT, description=_MORE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    from sidecar.cli.demo_steps import play  # noqa: PLC0415  (a quarter of a second that other commands need not wait)

    logs.set_up(Log(level="warning"))
    return play()
