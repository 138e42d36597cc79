from pathlib import Path

import pytest

from sidecar.cli.rules_read import configured, rule_paths
from sidecar.config.problems import ConfigError
from sidecar.config.settings import RulesSection, Settings, UnitSection, units_of


def test_rules_are_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("version: 1\nrules: [{name: a, match: {path: /a}, unit: seconds, price: {flat: 0.5}}]\n")
    settings = Settings(rules=RulesSection(paths=[str(file)]), units={"seconds": UnitSection(scale=3)})
    units = units_of(settings)
    assert {name: unit.scale for name, unit in units.items()} == {"seconds": 3}
    assert rule_paths(settings) == [file]
    assert [rule.name for rule in configured(settings, units).rules] == ["a"]


def test_without_rule_files_there_is_nothing_to_do() -> None:
    with pytest.raises(ConfigError, match="give one: --rules PATH"):
        configured(Settings(), {})
