"""The usage of the past under another rule set: what each customer and each rule would have cost, and what not.

One settlement after the other, kept as sums: memory grows with customers and rules, not with settlements. What cannot
be priced again is in no sum of what was, but counted by its reason.
"""

from collections.abc import Hashable, Mapping
from typing import TypeVar

import msgspec

from sidecar.domain.metering import Source
from sidecar.domain.price_list import leaves
from sidecar.domain.repricing import Past, Unpriceable, Why, reprice
from sidecar.domain.rules import Rule, RuleSet
from sidecar.domain.running_counters import RunningCounters

_Key = TypeVar("_Key", bound=Hashable)

_WHATS_MAX = 1_000
"""So many different things that cannot be priced are told apart; the rest is counted without a name."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What some settlements cost and would cost, in base units of one unit; `name` is a rule or a customer."""

    name: str
    unit: str
    settlements: int
    old: int
    new: int

    @property
    def difference(self) -> int:
        return self.new - self.old


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Settlements that cannot be priced again, and what they cost."""

    why: Why
    rule: str
    what: str
    unit: str
    settlements: int
    cost: int


class Note(msgspec.Struct, frozen=True):
    """A `meter` that counted as 0 and may be a mistake: `never_read` in the past, or `not_measured` by the rule."""

    what: str
    rule: str
    meter: str


class Replay:
    """Prices settlements under `rules`; `renamed` maps the names of former rules to theirs.

    The prices are those in force when the settlement's hold was taken, or at `at_s`.
    """

    def __init__(self, rules: RuleSet, renamed: Mapping[str, str], at_s: float | None = None) -> None:
        self._rules = {rule.name: rule for rule in rules.rules}
        self._renamed = renamed
        self._at_s = at_s
        self.needs_external_ids = any(rule.needs_external_id for rule in rules.rules)
        """Whether settlements must say the operator's own id of their customer."""
        self._rule_sums: dict[tuple[str, str], list[int]] = {}
        self._customer_sums: dict[tuple[str, str], list[int]] = {}
        self._left: dict[tuple[Why, str, str, str], list[int]] = {}
        self._counters = RunningCounters()
        self._read: dict[str, set[str]] = {}
        self.estimated = 0
        """How many of those that were priced were charged by usage that the upstream did not report."""

    def add(self, past: Past) -> None:
        """Price one settlement; they come in the order of time."""
        name = self._renamed.get(past.rule, past.rule)
        rule = self._rules.get(name)
        if rule is None:
            self._leave(past, Unpriceable(Why.RULE_GONE))
            return
        cost = reprice(rule, past, past.at_s if self._at_s is None else self._at_s, self._counters)
        if isinstance(cost, Unpriceable):
            self._leave(past, cost)
            return
        _add(self._rule_sums, (past.unit, name), past.cost, cost)
        _add(self._customer_sums, (past.unit, past.customer_id), past.cost, cost)
        self._read.setdefault(name, set()).update(past.said.usage)
        self.estimated += past.source != Source.REPORTED

    @property
    def totals(self) -> list[Change]:
        """One for each unit; they have no name."""
        sums: dict[tuple[str, str], list[int]] = {}
        for (unit, _), (settlements, old, new) in self._rule_sums.items():
            _add(sums, (unit, ""), old, new, settlements)
        return _changes(sums)

    @property
    def rules(self) -> list[Change]:
        """By rule, under its new name; the largest difference first."""
        return _changes(self._rule_sums)

    @property
    def customers(self) -> list[Change]:
        """By who asked; the largest difference first."""
        return _changes(self._customer_sums)

    @property
    def left(self) -> list[Left]:
        """What could not be priced, the dearest first."""
        found = [
            Left(why=why, rule=rule, what=what, unit=unit, settlements=settlements, cost=cost)
            for (why, rule, what, unit), (settlements, cost, _) in self._left.items()
        ]
        return sorted(found, key=lambda left: (-left.cost, left.unit, left.why, left.rule, left.what))

    @property
    def notes(self) -> list[Note]:
        """What is 0 in the new cost and may be a mistake: meters that the past did not read, or the rule does not."""
        return [note for name, read in sorted(self._read.items()) for note in _notes(self._rules[name], read)]

    def _leave(self, past: Past, reason: Unpriceable) -> None:
        key = (reason.why, past.rule, reason.what, past.unit)
        if key not in self._left and len(self._left) >= _WHATS_MAX:
            key = (reason.why, "", "", past.unit)
        _add(self._left, key, past.cost, 0)


def _add(sums: dict[_Key, list[int]], key: _Key, old: int, new: int, settlements: int = 1) -> None:
    found = sums.setdefault(key, [0, 0, 0])
    found[0] += settlements
    found[1] += old
    found[2] += new


def _changes(sums: Mapping[tuple[str, str], list[int]]) -> list[Change]:
    """The largest difference first, unit by unit."""
    changes = [
        Change(name=name, unit=unit, settlements=settlements, old=old, new=new)
        for (unit, name), (settlements, old, new) in sums.items()
    ]
    return sorted(changes, key=lambda change: (change.unit, -abs(change.difference), -change.new, change.name))


def _notes(rule: Rule, read: set[str]) -> list[Note]:
    if rule.free:
        return []
    meters = rule.quoter.tariff.meters
    # What falls back to another meter's rate is a class that many answers never have.
    falls_back = meters.reader.falls_back if meters.reader is not None else {}
    rated = dict.fromkeys(meter for leaf in leaves(rule.quoter.price) for meter in leaf.meters)
    never = [meter for meter in rated if meter not in read and meter not in falls_back]
    unmeasured = sorted(read - set(meters.names))
    return [Note("never_read", rule.name, meter) for meter in never] + [
        Note("not_measured", rule.name, meter) for meter in unmeasured
    ]
