"""The rules in force, and how others take their place while requests are served.

All rule files are read, checked and compiled in a thread; then those who follow get the new rules, all in one turn of
the event loop. Files with any mistake, and files that change while they are read, leave the old rules in force. It
decides nothing about requests under way: they keep the rules that they began with.
"""

import asyncio
import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from sidecar.config.problems import ConfigError, Problem
from sidecar.config.rule_files import Glance, glance
from sidecar.config.rules import load_rules
from sidecar.domain.amounts import Unit
from sidecar.domain.rules import RuleSet

log = logging.getLogger("sidecar.rules")

TRIES: Final = 3
"""So often files are read again that change meanwhile."""
PROBLEMS_LOGGED_MAX: Final = 20
_TURN_S: Final = 0.0005


class Reloaded(StrEnum):
    """How a reload ended. Closed set: it is a metric label."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    FAILED = "failed"


class Failure(msgspec.Struct, frozen=True):
    """Why the last reload has left the rules as they were."""

    at_ms: int
    problems: tuple[Problem, ...]


class Reloading:
    """Has the rules of `paths`, and loads them again when somebody says so or, with `watch`, when they change.

    Raises ConfigError when they cannot be loaded the first time. `now_ms` dates what happens; by
    `now_s` prices know which period, and which version of them, it is.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        units: Mapping[str, Unit],
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._paths = tuple(paths)
        self._units = units
        self._now_s = now_s
        self._now_ms = now_ms
        self._followers: list[Callable[[RuleSet], None]] = []
        self._one_at_a_time = asyncio.Lock()
        self._tried, rules = self._read()
        if isinstance(rules, ConfigError):
            raise rules
        self.rules = rules
        self.loaded_at_ms = now_ms()
        """When the rules in force were loaded."""
        self.failure: Failure | None = None
        """Of the last reload; None when it succeeded, or when there was none."""
        self.outcomes: Counter[str] = Counter(dict.fromkeys(Reloaded, 0))

    def follow(self, use: Callable[[RuleSet], None]) -> None:
        """Call `use` with each new set of rules; it must not fail."""
        self._followers.append(use)

    async def reload(self, why: str) -> Reloaded:
        """Load the rules again; `why` is for the log. What it logs on failure has every problem with its caret."""
        async with self._one_at_a_time:
            with _short_turns():
                self._tried, rules = await asyncio.to_thread(self._read)
            outcome = self._refuse(rules, why) if isinstance(rules, ConfigError) else self._apply(rules, why)
            self.outcomes[outcome] += 1
            del rules
            # Each rule has record types of its own, which only the collector frees, and we let that run seldom.
            await asyncio.to_thread(gc.collect)
            return outcome

    async def watch(self, poll_s: float) -> None:
        """Look at the files every `poll_s` until cancelled; reload when they have changed and are at rest again.

        At rest: two looks in a row see the same, so that a file is not read while an editor writes it.
        """
        before = self._tried
        while True:
            await asyncio.sleep(poll_s)
            now = await asyncio.to_thread(glance, self._paths)
            if now == before and now != self._tried:
                await self.reload("the files have changed")
            before = now

    def _read(self) -> tuple[Glance, RuleSet | ConfigError]:
        """What the files looked like, and what they say. Runs in a thread of its own."""
        before = glance(self._paths)
        for _ in range(TRIES):
            found = self._load()
            after = glance(self._paths)
            if after == before:
                return before, found
            before = after
        hint = "write a new file and rename it, or try again when they are at rest"
        files = ", ".join(map(str, self._paths))
        return (), ConfigError([Problem(file=files, message="changed again and again while being read", hint=hint)])

    def _load(self) -> RuleSet | ConfigError:
        try:
            return load_rules(self._paths, self._units, now_s=self._now_s)
        except ConfigError as error:
            return error
        except Exception as error:
            # A mistake of ours must not end the service that the old rules still give.
            log.exception("the rules could not be read")
            return ConfigError([Problem(file=", ".join(map(str, self._paths)), message=f"cannot be read: {error!r}")])

    def _apply(self, rules: RuleSet, why: str) -> Reloaded:
        self.failure = None
        if (rules.version, rules.files) == (self.rules.version, self.rules.files):
            log.info("rules %s: loaded again because %s, and unchanged", rules.version, why)
            return Reloaded.UNCHANGED
        rules.go_on_from(self.rules)
        before, self.rules, self.loaded_at_ms = self.rules, rules, self._now_ms()
        for use in self._followers:
            use(rules)
        news = (rules.version, before.version, why, _difference(before, rules))
        log.info("rules %s are in force instead of %s, because %s; %s", *news)
        return Reloaded.APPLIED

    def _refuse(self, error: ConfigError, why: str) -> Reloaded:
        self.failure = Failure(self._now_ms(), error.problems)
        count = len(error.problems)
        log.error(
            "rules not reloaded, though %s; %s stay in force: %d problem%s",
            *(why, self.rules.version, count, "s"[: count != 1]),
        )
        for problem in error.problems[:PROBLEMS_LOGGED_MAX]:
            for line in problem.render().splitlines():
                log.error("%s", line)
        return Reloaded.FAILED


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let the event loop have the interpreter back after half a millisecond, not five, while a thread works.

    With 300 rules a turn of the loop then waited 0.7 ms instead of 5.2 ms, and the rules were loaded no later
    (November 2026, CPython 3.11).
    """
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def _difference(before: RuleSet, now: RuleSet) -> str:
    """Which rules were added, removed and written anew."""
    old, new = ({rule.name: rule.written for rule in each.rules} for each in (before, now))
    found = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": [name for name in new if old.get(name, new[name]) != new[name]],
    }
    told = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
    return "; ".join(told) or "each is written as before"
