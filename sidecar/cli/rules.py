"""`sidecar rules`: check rule files, and explain what a request would match, hold and cost. Needs no server.

All of it reads files exactly as `sidecar run` does.
"""

import argparse
from pathlib import Path

from sidecar.cli import options, rules_explain
from sidecar.cli.client import Subparsers
from sidecar.cli.rules_read import rule_paths, units_of
from sidecar.config.rules import load_rules, rule_files


def add(subparsers: Subparsers) -> None:
    """``sidecar rules`` with its commands."""
    text = "check rule files, and explain what a request would cost"
    commands = subparsers.add_parser("rules", help=text, description=text + ".").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    check = commands.add_parser("check", help="find every mistake in rule files", description=_CHECK)
    check.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help="a file or a folder (default: rules.paths)"
    )
    check.add_argument("--config", metavar="FILE", type=Path, help="settings in YAML, for units of your own")
    check.set_defaults(run=_check)
    rules_explain.add(commands)


_CHECK = "Read rule files as `sidecar run` does and show every problem with its place. Exit 1 if there is any."


def _check(args: argparse.Namespace) -> int:
    settings = options.loaded(args).settings
    paths = args.paths or rule_paths(settings)
    rules = load_rules(paths, units_of(settings))
    for file in rule_files(paths):
        count = sum(rule.where.rpartition(":")[0] == str(file) for rule in rules.rules)
        print(f"{file}: {count} rule{'s'[: count != 1]}, no problem")
    return 0
