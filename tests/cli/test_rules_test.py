import argparse
from pathlib import Path

import pytest

from sidecar.cli import rules
from sidecar.config.problems import ConfigError

ROOT = Path(__file__).parents[2]
CASE = "version: 1\n{}cases: [{{name: a case, request: {{path: /a}}, expect: {{hold: {}}}}}]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs, with the rules of one route."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules" / "tests").mkdir(parents=True)
    (tmp_path / "rules" / "a.yaml").write_text(
        "version: 1\nrules: [{name: a, match: {path: /a}, price: {flat: 3}}]\n"
    )
    return tmp_path / "rules" / "tests"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    args = parser.parse_args(["rules", "test", *arguments])
    code: int = args.run(args)
    return code, capsys.readouterr().out


def test_our_own_rules_cost_what_their_cases_say(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, str(ROOT / "rules" / "tests"))
    assert code == 0, out
    shipped = {path.name for path in (ROOT / "rules").glob("*.yaml")}
    assert {path.name for path in (ROOT / "rules" / "tests").glob("*.yaml")} <= shipped
    passed, word, *rest = out.splitlines()[-1].split()
    assert (int(passed) >= 20, word, rest) == (True, "passed,", ["0", "failed"])


def test_failures_are_shown_with_their_place(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "right.yaml").write_text(CASE.format("rules: ../a.yaml\n", 3))
    (folder / "wrong.yaml").write_text(CASE.format("rules: ../a.yaml\n", 4))
    code, out = run(capsys)
    assert code == 1
    assert out == (
        "rules/tests/right.yaml: 1 case, all passed\n"
        "rules/tests/wrong.yaml:3:60: a case: the hold is 3 credits, expected 4\n"
        "    3 | cases: [{name: a case, request: {path: /a}, expect: {hold: 4}}]\n"
        "      |                                                            ^\n"
        "rules/tests/wrong.yaml: 1 case, 1 failed\n"
        "1 passed, 1 failed\n"
    )


def test_rules_may_come_from_the_command_line(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "a.yaml").write_text(CASE.format("", 3))
    assert run(capsys, "rules/tests/a.yaml", "--rules", "rules/a.yaml")[0] == 0
    with pytest.raises(ConfigError, match="which files are tested"):
        run(capsys)


def test_mistakes_of_all_files_come_together(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (folder / name).write_text("version: 1\nrules: ../a.yaml\n")
    (folder / "c.yaml").write_text(CASE.format("rules: ../a.yaml\n", 3))
    with pytest.raises(ConfigError) as caught:
        run(capsys)
    assert [problem.message for problem in caught.value.problems] == ["no `cases`"] * 2
    assert "c.yaml: 1 case, all passed" in capsys.readouterr().out
