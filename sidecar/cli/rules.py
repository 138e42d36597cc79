"""`sidecar rules`: what can be done with rule files, read as `sidecar run` does. All but `replay` needs no server."""

import argparse

from sidecar.cli import rules_check, rules_explain, rules_replay, rules_test
from sidecar.cli.client import Subparsers
from sidecar.cli.screen import show_json
from sidecar.config.schema import schema


def add(subparsers: Subparsers) -> None:
    """``sidecar rules`` with its commands."""
    text = "check and test rule files, explain what a request would cost, and what the past would have"
    commands = subparsers.add_parser("rules", help=text, description=text + ".").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    for command in (rules_check, rules_explain, rules_test, rules_replay):
        command.add(commands)
    text = "print a JSON Schema of rule files, for editors"
    commands.add_parser("schema", help=text, description=_SCHEMA).set_defaults(run=_schema)


_SCHEMA = """\
Print a JSON Schema of rule files. Write it to rules.schema.json, and as the first line of a rule file
`# yaml-language-server: $schema=rules.schema.json`: editors then complete keys and mark mistakes.
"""


def _schema(_: argparse.Namespace) -> int:
    show_json(schema())
    return 0
