"""`sidecar rules check`: every mistake in rule files, and what is probably not meant, all at once.

On stdout, as text for people, as JSON, or as the annotations of a GitHub workflow.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from sidecar.cli import options
from sidecar.cli.client import Subparsers
from sidecar.cli.rules_read import rule_paths
from sidecar.cli.screen import plural, show_json
from sidecar.config.lint import lint
from sidecar.config.problems import ConfigError, Problem, Severity
from sidecar.config.rules import in_order, read_rules, rule_files
from sidecar.config.settings import units_of
from sidecar.domain.amounts import Unit
from sidecar.domain.meters.codings import INSTALL, missing

_DESCRIPTION = """\
Read rule files as `sidecar run` does and show every problem with its place: errors, with which it would not start,
and warnings, about what is right and probably not meant. Exit 1 if there is any error; with --strict, any warning.
"""


_ALTERNATIVES = "Each file is right by itself: if they are alternatives to one another, check them with --each."


class Checked(msgspec.Struct, frozen=True):
    """What was found, and how many rules without a mistake each file has."""

    problems: Sequence[Problem]
    rules: dict[str, int]
    version: str = ""
    """Of all files together; empty when they are not meant to be used together, or cannot be used."""
    alternatives: bool = False
    """Each file is right by itself, and they cannot be used together."""

    def count(self, severity: Severity, file: str | None = None) -> int:
        """So many problems; in `file` only, if one is named."""
        return sum(each.severity is severity and file in {None, each.file} for each in self.problems)


def add(commands: Subparsers) -> None:
    """``sidecar rules check``."""
    check = commands.add_parser("check", help="find every mistake in rule files", description=_DESCRIPTION)
    check.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help="a file or a folder (default: rules.paths)"
    )
    check.add_argument("--config", metavar="FILE", type=Path, help="settings in YAML, for units of your own")
    check.add_argument("--strict", action="store_true", help="a warning is as bad as an error")
    check.add_argument("--format", choices=sorted(_FORMATS), default="text", help="how to print (default: text)")
    check.add_argument(
        "--each", action="store_true", help="each file on its own: they are alternatives to one another"
    )
    check.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    settings = options.loaded(args).settings
    paths = args.paths or rule_paths(settings)
    units = units_of(settings)
    files = [str(file) for path in paths for file in _files(path)]
    alone = [[file] for path in paths for file in _files(path) or [path]]
    found = [read_rules(group, units) for group in (alone if args.each else [paths])]
    problems = in_order([each for one in found for each in (*one.problems, *lint(one.rules, units))], files)
    if args.strict:
        problems = [msgspec.structs.replace(problem, severity=Severity.ERROR) for problem in problems]
    counts = dict.fromkeys(files, 0)
    for rule, _ in (read for one in found for read in one.rules):
        counts[rule.where.rpartition(":")[0]] += 1
    together = None if args.each else found[0]
    wrong = any(problem.severity is Severity.ERROR for problem in problems)
    checked = Checked(
        problems,
        counts,
        version=together.version if together and not wrong else "",
        alternatives=bool(together and together.problems) and _are_right(alone, units),
    )
    _FORMATS[args.format](checked)
    if missing() and any(read.rule.quoter.tariff.meters.reader is not None for one in found for read in one.rules):
        print(
            f"Answers in {' and '.join(missing())} cannot be metered by this installation: {INSTALL}", file=sys.stderr
        )
    return int(wrong)


def _are_right(groups: Sequence[Sequence[Path]], units: Mapping[str, Unit]) -> bool:
    return not any(read_rules(group, units).problems for group in groups)


def _files(path: Path) -> list[Path]:
    try:
        return rule_files([path])
    except ConfigError:
        return []  # Reading the rules has said so already.


def _as_text(checked: Checked) -> None:
    for problem in checked.problems:
        print(problem.render())
    for file, rules in checked.rules.items():
        print(f"{file}: {plural(rules, 'rule')}, {_summary(checked, file)}")
    if checked.version:
        print(f"version {checked.version}")
    if checked.alternatives:
        print(_ALTERNATIVES)


def _summary(checked: Checked, file: str) -> str:
    counted = [(checked.count(severity, file), str(severity)) for severity in Severity]
    return ", ".join(plural(count, word) for count, word in counted if count) or "no problem"


def _as_json(checked: Checked) -> None:
    show_json(
        {
            "problems": [
                {
                    "severity": str(problem.severity),
                    "file": problem.file,
                    "line": problem.line,
                    "column": problem.column,
                    "message": problem.message,
                    "hint": problem.hint,
                }
                for problem in checked.problems
            ],
            "files": [{"file": file, "rules": rules} for file, rules in checked.rules.items()],
            "errors": checked.count(Severity.ERROR),
            "warnings": checked.count(Severity.WARNING),
            "version": checked.version,
        }
    )


def _as_annotations(checked: Checked) -> None:
    """Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    for problem in checked.problems:
        place = {"file": problem.file, "line": problem.line, "col": problem.column}
        given = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in place.items() if value)
        message = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
        print(f"::{problem.severity} {given}::{_escaped(message)}")


def _escaped(text: str, more: str = "") -> str:
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


_FORMATS: dict[str, Callable[[Checked], None]] = {"text": _as_text, "json": _as_json, "github": _as_annotations}
