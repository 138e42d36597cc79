import argparse
from pathlib import Path

import pytest

from sidecar.cli import rules
from sidecar.config.problems import ConfigError

ROOT = Path(__file__).parents[2]
OPENAI = str(ROOT / "rules" / "openai.yaml")
HTTP = str(ROOT / "rules" / "http.yaml")


def sidecar(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    args = parser.parse_args(["rules", *arguments])
    code: int = args.run(args)
    return code


def test_check_says_one_line_for_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert sidecar("check", OPENAI) == 0
    assert sidecar("check", HTTP) == 0
    assert capsys.readouterr().out == f"{OPENAI}: 4 rules, no problem\n{HTTP}: 2 rules, no problem\n"


def test_check_shows_all_problems(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(f"version: 1\nrules: [{{name: {name}, match: {{path: /{name}}}, fre: true}}]\n")
    with pytest.raises(ConfigError) as caught:
        sidecar("check", str(tmp_path))
    assert [problem.message for problem in caught.value.problems] == [
        *("no `price`, and not `free: true`", "unknown key `fre`") * 2,
    ]


def test_check_knows_units_of_the_settings(tmp_path: Path) -> None:
    settings, file = tmp_path / "sidecar.yaml", tmp_path / "rules.yaml"
    settings.write_text(f"units: {{credits: {{scale: 6}}, seconds: {{scale: 3}}}}\nrules: {{paths: [{file}]}}\n")
    file.write_text("version: 1\nrules: [{name: a, match: {path: /a}, unit: seconds, price: {flat: 0.5}}]\n")
    assert sidecar("check", "--config", str(settings)) == 0
    with pytest.raises(ConfigError, match="unknown unit `seconds`"):
        sidecar("check", str(file))


def test_without_files_there_is_nothing_to_check() -> None:
    with pytest.raises(ConfigError, match="no rule files"):
        sidecar("check")
