import argparse
import hashlib
import json
from pathlib import Path

import pytest

from sidecar.cli import rules
from sidecar.config.problems import ConfigError

ROOT = Path(__file__).parents[2]
OPENAI = str(ROOT / "rules" / "openai.yaml")
HTTP = str(ROOT / "rules" / "http.yaml")

ODD = "version: 1\nrules:\n  - {name: a, match: {path: /a}, price: {flat: 0}}\n"
BAD = "version: 1\nrules:\n  - {name: a, match: {path: /a}, fre: true}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run, so that files have short names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.yaml").write_text(ODD)
    (tmp_path / "bad.yaml").write_text(BAD)
    return tmp_path


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    args = parser.parse_args(["rules", "check", *arguments])
    code: int = args.run(args)
    return code, capsys.readouterr().out


def test_one_line_for_each_file_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(capsys, OPENAI, HTTP)
    assert code == 0
    lines = [f"{OPENAI}: 9 rules, no problem", f"{HTTP}: 2 rules, no problem", f"version {version_of(OPENAI, HTTP)}"]
    assert out.splitlines() == lines


@pytest.mark.parametrize(
    ("missing", "said"), [(("br", "zstd"), "Answers in br and zstd cannot be metered"), ((), "")]
)
def test_decoders_that_are_not_installed_are_named_where_answers_are_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr("sidecar.cli.rules_check.missing", lambda: missing)
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    for file, expected in ((OPENAI, said), (HTTP, "")):
        args = parser.parse_args(["rules", "check", file])
        assert args.run(args) == 0
        err = capsys.readouterr().err
        assert err.startswith(expected)
        assert bool(err) is bool(expected)


def version_of(*files: str) -> str:
    """As one finds it out with `sha256sum`."""
    digests = "".join(f"{hashlib.sha256(Path(file).read_bytes()).hexdigest()}\n" for file in files)
    return hashlib.sha256(digests.encode()).hexdigest()[:8]


def test_the_version_is_of_content_and_order(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    def version(*files: str) -> str:
        return check(capsys, *files)[1].splitlines()[-1]

    before = version("odd.yaml")
    (folder / "odd.yaml").rename(folder / "renamed.yaml")
    assert version("renamed.yaml") == before
    (folder / "renamed.yaml").write_text(ODD + "# a word more\n")
    assert version("renamed.yaml") != before
    assert version(OPENAI, HTTP) != version(HTTP, OPENAI)


def test_alternatives_are_checked_each_on_its_own(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "bad.yaml").write_text(ODD)
    code, out = check(capsys, ".")
    assert code == 1
    assert out.splitlines()[-1] == (
        "Each file is right by itself: if they are alternatives to one another, check them with --each."
    )
    code, out = check(capsys, "--each", ".")
    assert code == 0
    assert out.splitlines()[-2:] == ["bad.yaml: 1 rule, 1 warning", "odd.yaml: 1 rule, 1 warning"]


def test_each_does_not_lose_a_folder_without_files(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "empty").mkdir()
    assert check(capsys, "--each", "odd.yaml", "empty", "none.yaml")[0] == 1


def test_the_shipped_files_are_alternatives_without_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = check(capsys, "--each", "--strict", str(ROOT / "rules"))
    assert code == 0
    assert all(line.endswith("no problem") for line in out.splitlines())


def test_errors_and_warnings_come_together(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out = check(capsys, "odd.yaml", "bad.yaml", "none.yaml")
    assert code == 1
    assert out == (
        "odd.yaml:3:34: warning: nothing costs anything here\n"
        "    3 |   - {name: a, match: {path: /a}, price: {flat: 0}}\n"
        "      |                                  ^\n"
        "      = write `free: true` if that is meant\n"
        "bad.yaml:3:5: no `price`, and not `free: true`\n"
        "    3 |   - {name: a, match: {path: /a}, fre: true}\n"
        "      |     ^\n"
        "      = a rule says what a request costs\n"
        "bad.yaml:3:34: unknown key `fre`\n"
        "    3 |   - {name: a, match: {path: /a}, fre: true}\n"
        "      |                                  ^\n"
        "      = did you mean `free`?\n"
        "none.yaml: no such file\n"
        "odd.yaml: 1 rule, 1 warning\n"
        "bad.yaml: 0 rules, 2 errors\n"
        "none.yaml: 0 rules, 1 error\n"
    )


def test_a_warning_is_an_error_if_one_is_strict(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert check(capsys, "odd.yaml")[0] == 0
    code, out = check(capsys, "odd.yaml", "--strict")
    assert (code, out.splitlines()[0]) == (1, "odd.yaml:3:34: nothing costs anything here")
    assert out.splitlines()[-1] == "odd.yaml: 1 rule, 1 error"


def test_as_json(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    code, out = check(capsys, "odd.yaml", "bad.yaml", "--format", "json")
    found = json.loads(out)
    assert code == 1
    assert (found["errors"], found["warnings"]) == (2, 1)
    assert found["files"] == [{"file": "odd.yaml", "rules": 1}, {"file": "bad.yaml", "rules": 0}]
    assert found["problems"][0] == {
        "severity": "warning",
        "file": "odd.yaml",
        "line": 3,
        "column": 34,
        "message": "nothing costs anything here",
        "hint": "write `free: true` if that is meant",
    }


def test_as_annotations(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "a,b:c%.yaml").write_text(BAD)
    code, out = check(capsys, "odd.yaml", "a,b:c%.yaml", "none.yaml", "--format", "github")
    assert code == 1
    name = "a%2Cb%3Ac%25.yaml"
    assert out.splitlines() == [
        "::warning file=odd.yaml,line=3,col=34::nothing costs anything here (write `free: true` if that is meant)",
        f"::error file={name},line=3,col=5::no `price`, and not `free: true` (a rule says what a request costs)",
        f"::error file={name},line=3,col=34::unknown key `fre` (did you mean `free`?)",
        "::error file=none.yaml::no such file",
    ]


def test_a_folder_without_rules_is_an_error(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "empty").mkdir()
    assert check(capsys, "empty") == (1, "empty: no *.yaml in this folder\n")


def test_units_are_those_of_the_settings(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    settings, file = folder / "sidecar.yaml", folder / "rules.yaml"
    settings.write_text(f"units: {{credits: {{scale: 6}}, seconds: {{scale: 3}}}}\nrules: {{paths: [{file}]}}\n")
    file.write_text("version: 1\nrules: [{name: a, match: {path: /a}, unit: seconds, price: {flat: 0.5}}]\n")
    assert check(capsys, "--config", str(settings))[0] == 0
    code, out = check(capsys, str(file))
    assert code == 1
    assert "unknown unit `seconds`" in out


def test_without_files_there_is_nothing_to_check(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="no rule files"):
        check(capsys)
