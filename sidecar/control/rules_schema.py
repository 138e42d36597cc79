"""Rules on the wire: those in force, and why newer ones are not."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from sidecar.config.problems import Problem
from sidecar.control.schema import Wire, instant
from sidecar.domain.rules import Rule
from sidecar.services.reloading import Failure, Reloading


class RuleView(Wire, frozen=True, kw_only=True):
    """One rule."""

    name: str
    where: Annotated[str, Meta(description="Its file and line.")]
    unit: str
    feature: str
    free: bool
    written: Annotated[msgspec.Raw, Meta(description="What the file says there.")]

    @classmethod
    def of(cls, rule: Rule) -> "RuleView":
        return cls(
            name=rule.name,
            where=rule.where,
            unit=rule.unit,
            feature=rule.feature,
            free=rule.free,
            written=msgspec.Raw(rule.written),
        )


class RuleProblem(Wire, frozen=True, kw_only=True):
    """A mistake in a rule file."""

    file: str
    line: Annotated[int, Meta(description="From 1; 0 means the file as a whole.")]
    column: int
    message: str
    hint: str
    text: Annotated[str, Meta(description="All of it for people, with a caret below the place.")]

    @classmethod
    def of(cls, problem: Problem) -> "RuleProblem":
        return cls(
            file=problem.file,
            line=problem.line,
            column=problem.column,
            message=problem.message,
            hint=problem.hint,
            text=problem.render(),
        )


class RulesFailure(Wire, frozen=True, kw_only=True):
    """A reload that has left the rules as they were."""

    at: datetime
    problems: list[RuleProblem]

    @classmethod
    def of(cls, failure: Failure) -> "RulesFailure":
        return cls(at=instant(failure.at_ms), problems=[RuleProblem.of(each) for each in failure.problems])


class RulesView(Wire, frozen=True, kw_only=True):
    """The rules in force in this process, in their order."""

    version: Annotated[str, Meta(description="Of the content of the files; ledger entries name it.")]
    loaded_at: datetime
    files: list[str]
    rules: list[RuleView]
    failure: Annotated[RulesFailure | None, Meta(description="Why the last reload failed, if it did.")]

    @classmethod
    def of(cls, reloading: Reloading) -> "RulesView":
        rules, failure = reloading.rules, reloading.failure
        return cls(
            version=rules.version,
            loaded_at=instant(reloading.loaded_at_ms),
            files=list(rules.files),
            rules=[RuleView.of(rule) for rule in rules.rules],
            failure=None if failure is None else RulesFailure.of(failure),
        )
