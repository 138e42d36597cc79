"""`sidecar rules`: what can be done with rule files without a server. All of it reads them as `sidecar run` does."""

from sidecar.cli import rules_check, rules_explain
from sidecar.cli.client import Subparsers


def add(subparsers: Subparsers) -> None:
    """``sidecar rules`` with its commands."""
    text = "check and test rule files, and explain what a request would cost"
    commands = subparsers.add_parser("rules", help=text, description=text + ".").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    for command in (rules_check, rules_explain):
        command.add(commands)
