import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import rules
from sidecar.config.problems import ConfigError
from sidecar.domain.errors import InvalidInput

ROOT = Path(__file__).parents[2]
OPENAI = str(ROOT / "rules" / "openai.yaml")
HTTP = str(ROOT / "rules" / "http.yaml")
CHAT = ("POST", "/v1/chat/completions")


def sidecar(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    rules.add(parser.add_subparsers())
    args = parser.parse_args(["rules", *arguments])
    code: int = args.run(args)
    return code


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = sidecar("explain", "--json", *arguments)
    return code, json.loads(capsys.readouterr().out)


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


def test_explain_shows_rule_hold_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    body = '{"model":"gpt-4o-mini","stream":true,"max_tokens":100}'
    usage = "input_tokens=1200,output_tokens=300"
    assert sidecar("explain", "--rules", OPENAI, *CHAT, "-d", body, "--usage", usage) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "POST /v1/chat/completions"
    assert lines[1].startswith(f"rule   chat-completions ({OPENAI}:")
    # 54 bytes are at most 18 tokens: 18 × 0.15 + 100 × 0.60 = 62.7 base units, rounded up once
    assert lines[2] == "hold   0.000063 credits"
    assert lines[3] == "       input_tokens    18 × 0.15 per 1M = 0.0000027  request.body_bytes / 3"
    assert lines[5:8] == [
        "cost   0.00036 credits",
        "       input_tokens   1200 × 0.15 per 1M = 0.00018",
        "       output_tokens   300 × 0.6 per 1M  = 0.00018",
    ]
    assert lines[8] == "most   20 credits"
    assert lines[9].startswith("note   the stream is asked to report its usage")


def test_explain_says_why_earlier_rules_do_not_match(capsys: pytest.CaptureFixture[str]) -> None:
    body = '{"model": "text-embedding-3-small"}'
    code, explanation = explained(capsys, "--rules", OPENAI, "POST", "/v1/embeddings?x=1", "-d", body)
    assert code == 0
    assert explanation["rule"] == "embeddings"
    assert [(earlier["rule"], earlier["why"]) for earlier in explanation["earlier"]] == [
        ("chat-completions", "the path does not match /v1/chat/completions"),
        ("responses", "the path does not match /v1/responses"),
    ]


def test_explain_reads_the_body_from_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"model": "no-such-model"}')
    code, explanation = explained(capsys, "--rules", OPENAI, *CHAT, "-d", f"@{body}")
    assert code == 1
    assert explanation["refused"] == {
        "code": "unpriced",
        "detail": "There is no price for model 'no-such-model' here.",
    }


@pytest.mark.parametrize(
    ("arguments", "rule", "text"),
    [
        (("GET", "/health"), "health", ", free"),
        (("POST", "/x//y"), None, "rule   none: the path is ambiguous or malformed; such a request is refused"),
        (("POST", "/x", "--usage", "cost=0.33"), "any", "cost   0.33 credits"),
        (("POST", "/x", "--usage", "cost=99"), "any", "cost   5 credits"),
        (("POST", "/x", "-H", "Host: api"), "any", "hold   0.1 credits"),
    ],
)
def test_explain_any_api(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], rule: str | None, text: str
) -> None:
    assert sidecar("explain", "--rules", HTTP, *arguments) == (rule is None)
    assert text in capsys.readouterr().out
    assert explained(capsys, "--rules", HTTP, *arguments)[1]["rule"] == rule


def test_explain_an_unmatched_and_a_refused_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert sidecar("explain", "--rules", OPENAI, "GET", "/v2") == 1
    assert "rule   none: no rule matches" in capsys.readouterr().out
    assert sidecar("explain", "--rules", OPENAI, *CHAT) == 1
    assert "hold   none, refused as unreadable_request" in capsys.readouterr().out


def test_explain_a_path_that_servers_read_in_two_ways(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "version: 1\nrules:\n"
        '  - {name: run, match: {path: "/{id}/run"}, price: {flat: 1}}\n'
        '  - {name: any, match: {path: "/**"}, free: true}\n'
    )
    code, explanation = explained(capsys, "--rules", str(file), "GET", "/x%2Frun")
    assert (code, explanation["rule"]) == (1, None)
    assert explanation["earlier"][1]["why"] == "servers may read the path in two ways, which have different rules"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-H", "no colon"), "Name: value"),
        (("-d", "@/no/such/file"), "cannot be read"),
        (("--usage", "cots=1"), "did you mean `cost`"),
        (("--usage", "cost=-1"), "METER=NUMBER"),
        (("--usage", "cost"), "METER=NUMBER"),
    ],
)
def test_what_explain_cannot_read_is_said(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        sidecar("explain", "--rules", HTTP, "POST", "/x", *arguments)
