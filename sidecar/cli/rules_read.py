"""The rules and units that the settings of a command name, for the commands about rules."""

from collections.abc import Mapping
from pathlib import Path

from sidecar.config.problems import ConfigError, Problem
from sidecar.config.rules import load_rules
from sidecar.config.settings import Settings
from sidecar.domain.amounts import Unit
from sidecar.domain.rules import RuleSet


def rule_paths(settings: Settings) -> list[Path]:
    """``rules.paths``; ConfigError when there is none."""
    paths = [Path(path) for path in settings.rules.paths]
    if not paths:
        raise ConfigError([Problem(file="rules.paths", message="no rule files", hint="give one: --rules PATH")])
    return paths


def configured(settings: Settings, units: Mapping[str, Unit]) -> RuleSet:
    """The rules of the settings; ConfigError with all their problems, or when there are none."""
    return load_rules(rule_paths(settings), units)
