"""Warnings about one rule, for the tests of the lint."""

import textwrap
from pathlib import Path

from sidecar.config.lint import lint
from sidecar.config.problems import Severity
from sidecar.config.rules import read_rules
from sidecar.domain.amounts import CREDITS

UNITS = {CREDITS.name: CREDITS}


def warnings(folder: Path, *rules: str) -> list[tuple[str, str]]:
    """What is odd, each with the text that the caret is below; the `rules` lack names, and mistakes."""
    file = folder / "rules.yaml"
    listed = [f"  - name: r{number}\n{textwrap.indent(rule, '    ')}\n" for number, rule in enumerate(rules)]
    file.write_text("version: 1\nrules:\n" + "".join(listed))
    read, errors, *_ = read_rules([file], UNITS)
    assert [problem.render() for problem in errors] == []
    found = lint(read, UNITS)
    assert {problem.severity for problem in found} <= {Severity.WARNING}
    return [(problem.message, problem.source[problem.column - 1 :]) for problem in found]
