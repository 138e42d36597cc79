"""The documents say what the program does: commands parse, links lead somewhere, examples load, codes are listed."""

import re
import shlex
from pathlib import Path

import pytest

from sidecar.cli.main import parser
from sidecar.config.rules import load_rules
from sidecar.domain.amounts import CREDITS
from sidecar.domain.problems import KINDS
from sidecar.telemetry import Metrics
from tests.support import client_source

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "helm").rglob("*.md"), ROOT / "docs" / "llms.txt"]
)
RULES = sorted([*(ROOT / "rules").glob("*.yaml"), ROOT / "benchmarks" / "rules.yaml"])

FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:.*&& )?(?:\.venv/bin/)?sidecar (?P<arguments>.+)$")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
METRIC_NAME = re.compile(r'"(sidecar_[a-z_]+)"')
METRIC_ROW = re.compile(r"^\| `(sidecar_[a-z_]+?)(?:_total)?` \|", re.MULTILINE)
PROBLEM_ROW = re.compile(r"^\| `(?P<code>[a-z_]+)` \| (?P<status>\d{3}) \|", re.MULTILINE)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(page: Path) -> list[str]:
    """The arguments of each `sidecar …` line in a fenced block, without what the shell adds."""
    lines = "\n".join(FENCE.findall(page.read_text())).replace("\\\n", " ").splitlines()
    found = [match["arguments"] for line in lines if (match := COMMAND.match(line.strip())) is not None]
    return [re.split(r"\s+(?:#|&|\||>)", arguments)[0] for arguments in found]


COMMANDS = [pytest.param(line, id=f"{relative(page)}: {line}") for page in PAGES for line in commands(page)]


def test_the_readme_shows_commands() -> None:
    assert len(commands(ROOT / "README.md")) >= 4


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_in_the_documents_exist(line: str) -> None:
    assert callable(parser().parse_args(shlex.split(line)).run)


def test_the_readme_runs_the_tests_as_ci_does() -> None:
    assert "\nbash .ci/run\n" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [match["target"].partition("#")[0] for match in LINK.finditer(page.read_text())]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("path", RULES, ids=relative)
def test_rule_files_load(path: Path) -> None:
    load_rules([path], {CREDITS.name: CREDITS})


def test_every_problem_code_is_documented_with_its_status() -> None:
    documented = {
        (row["code"], int(row["status"])) for row in PROBLEM_ROW.finditer((ROOT / "docs/problems.md").read_text())
    }
    assert documented == {(kind.code, kind.status) for kind in KINDS.values()}


def test_every_metric_is_documented() -> None:
    named_by_parts = {
        name for path in (ROOT / "sidecar").rglob("*.py") for name in METRIC_NAME.findall(path.read_text())
    }
    own = {family.name for family in Metrics().families()}
    assert set(METRIC_ROW.findall((ROOT / "docs/metrics.md").read_text())) == named_by_parts | own


def test_the_client_has_the_calls_of_the_route_table() -> None:
    says = "run `python -m tests.support.client_source`"
    assert client_source.CALLS.read_text() == client_source.source(), says


def test_every_page_is_in_the_list_for_programs() -> None:
    listed = {match["target"] for match in LINK.finditer((ROOT / "docs" / "llms.txt").read_text())}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= listed
