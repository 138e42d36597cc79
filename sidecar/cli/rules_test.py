"""`sidecar rules test`: run the test cases of rule files, and show where one was not as expected."""

import argparse
from pathlib import Path

from sidecar.cli import options
from sidecar.cli.client import Subparsers
from sidecar.cli.screen import plural
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.rule_tests import failures, read_suite
from sidecar.config.rules import rule_files
from sidecar.config.settings import units_of

FOLDER = Path("rules") / "tests"
_DESCRIPTION = """\
Run test cases: each has a request and an answer, and says which rule matches, what is held and what it costs. Exit 1
if any case is not as it says. A file that names no rules of its own tests those of --rules or of the settings.
"""


def add(commands: Subparsers) -> None:
    """``sidecar rules test``."""
    test = commands.add_parser("test", help="run the test cases of rule files", description=_DESCRIPTION)
    options.add(test, "--rules")
    test.add_argument(
        "paths", metavar="PATH", nargs="*", type=Path, help=f"a file or a folder of *.yaml (default: {FOLDER})"
    )
    test.set_defaults(run=_test)


def _test(args: argparse.Namespace) -> int:
    settings = options.loaded(args).settings
    units = units_of(settings)
    otherwise = [Path(path) for path in settings.rules.paths]
    passed = failed = 0
    problems: list[Problem] = []
    for path in rule_files(args.paths or [FOLDER]):
        try:
            suite = read_suite(path, units, otherwise)
        except ConfigError as error:
            problems += error.problems
            continue
        found = failures(suite, units)
        for problem in (problem for case in found for problem in case):
            print(problem.render())
        wrong = sum(map(bool, found))
        passed, failed = passed + len(found) - wrong, failed + wrong
        print(f"{path}: {plural(len(found), 'case')}, {f'{wrong} failed' if wrong else 'all passed'}")
    if problems:
        raise ConfigError(problems)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
