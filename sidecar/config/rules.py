"""Rule files to a checked `RuleSet`, or all their problems at once. The language is described in ``docs/rules.md``.

Nothing that would silently do nothing gets through: unknown keys, settings without effect, rules behind a rule that
matches all that they match, meters without a source, costs without a bound.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from sidecar.config.cursor import Cursor
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.rule import DEFAULT_KEYS, RuleReader
from sidecar.config.rule_counters import check_counters
from sidecar.config.rule_estimate import read_estimate
from sidecar.config.rule_limits import check_shared_limits, read_limits
from sidecar.config.rule_match import read_identity
from sidecar.config.rule_price import read_markup
from sidecar.config.source import Document, read
from sidecar.domain.amounts import Unit
from sidecar.domain.estimates import Estimate
from sidecar.domain.rules import DEFAULT_IDENTITY, Rule, RuleSet

VERSION = 1
_MORE = ("*.yaml", "*.yml")


class ReadRule(NamedTuple):
    """A rule without mistakes, and where it was written."""

    rule: Rule
    cursor: Cursor


class ReadRules(NamedTuple):
    """What files say: every rule that is right by itself, and all errors, in order."""

    rules: list[ReadRule]
    problems: list[Problem]
    files: list[str]
    version: str
    """Of what the files contain; without meaning when one of them could not be read."""


def load_rules(
    paths: Sequence[Path], units: Mapping[str, Unit], *, now_s: Callable[[], float] = time.time
) -> RuleSet:
    """The rules of files, and of folders' ``*.yaml`` by name, in this order; ConfigError with all problems."""
    found = read_rules(paths, units, now_s=now_s)
    if found.problems:
        raise ConfigError(found.problems)
    return RuleSet((read.rule for read in found.rules), version=found.version, files=found.files)


def read_rules(
    paths: Sequence[Path], units: Mapping[str, Unit], *, now_s: Callable[[], float] = time.time
) -> ReadRules:
    """As `load_rules`, for who wants to know more. `now_s` says which period, and which version of a price, it is."""
    problems: list[Problem] = []
    rules: list[ReadRule] = []
    documents: list[Document] = []
    for path in paths:
        try:
            for file in _files(path):
                documents.append(read(file))
                rules += _read_file(documents[-1], units, problems, now_s)
        except ConfigError as error:
            problems += error.problems
    _check_together(rules)
    check_counters((read.rule.quoter.price, read.cursor) for read in rules)
    check_shared_limits((read.rule.limits, read.cursor) for read in rules)
    files = [document.file for document in documents]
    return ReadRules(rules, in_order(problems), files, _version(documents))


def _version(documents: Sequence[Document]) -> str:
    """Tells one content of all files, in their order, from another, wherever they lie and whatever they are called.

    ``sha256sum FILE… | cut -c-64 | sha256sum | cut -c-8`` says the same.
    """
    digests = "".join(f"{document.digest}\n" for document in documents)
    return hashlib.sha256(digests.encode()).hexdigest()[:8]


def in_order(problems: Sequence[Problem], files: Sequence[str] = ()) -> list[Problem]:
    """Problems by place: those in `files` first, then files in the order in which they come up."""
    names = dict.fromkeys([*files, *(problem.file for problem in problems)])
    order = {file: index for index, file in enumerate(names)}
    return sorted(problems, key=lambda problem: (order[problem.file], problem.line, problem.column))


def rule_files(paths: Sequence[Path]) -> list[Path]:
    """The files that `load_rules` would read, in order; ConfigError for a folder without any."""
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    # Names that begin with a dot are those of editors and file managers, beside the file that they are about.
    files = sorted(file for pattern in _MORE for file in path.glob(pattern) if not file.name.startswith("."))
    if not files:
        raise ConfigError([Problem(file=str(path), message="no *.yaml in this folder")])
    return files


def _read_file(
    document: Document, units: Mapping[str, Unit], problems: list[Problem], now_s: Callable[[], float]
) -> list[ReadRule]:
    top = Cursor(document, problems).entries(("version", "defaults", "rules"), "version and rules")
    root = Cursor(document, problems)
    if root.value is None or not isinstance(root.value, dict):
        return []
    if "version" not in top:
        root.problem("no `version`", f"add `version: {VERSION}`")
    elif top["version"].value != VERSION:
        top["version"].problem(f"this is version {VERSION} of the language", f"write `version: {VERSION}`")
    defaults = top["defaults"].entries(DEFAULT_KEYS, ", ".join(DEFAULT_KEYS)) if "defaults" in top else {}
    identity = read_identity(defaults["identity"]) if "identity" in defaults else DEFAULT_IDENTITY
    markup = read_markup(defaults["markup"]) if "markup" in defaults else Fraction(0)
    estimate = read_estimate(defaults["estimate"]) if "estimate" in defaults else Estimate()
    shadow = "shadow" in defaults and defaults["shadow"].flag() is True
    if "rules" not in top:
        root.problem("no `rules`", "a file has a list of rules")
        return []
    limits = read_limits(defaults["limits"]) if "limits" in defaults else ()
    read = [
        (RuleReader(cursor, units, markup, estimate, limits, shadow=shadow, now_s=now_s).read(identity), cursor)
        for cursor in top["rules"].items("a list of rules")
    ]
    return [ReadRule(rule, cursor) for rule, cursor in read if rule is not None]


def _check_together(read: Sequence[ReadRule]) -> None:
    """Names that stand twice, and rules that no request can reach."""
    for index, (rule, cursor) in enumerate(read):
        earlier = [other.rule for other in read[:index]]
        same = next((other for other in earlier if other.name == rule.name), None)
        if same is not None:
            place = Cursor(cursor.document, cursor.problems, (*cursor.path, "name"))
            place.problem(f"`{rule.name}` is the name of another rule", f"it stands at {same.where}")
        shadow = next((other for other in earlier if other.match.covers(rule.match)), None)
        if shadow is not None:
            cursor.problem(
                f"no request can reach this rule: `{shadow.name}` before it matches all that it matches",
                f"put it before {shadow.where}, or remove it",
            )
