import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import rules
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


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    sidecar("explain", *arguments)
    return capsys.readouterr().out


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = sidecar("explain", "--json", *arguments)
    return code, json.loads(capsys.readouterr().out)


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


PRICES = """\
version: 1
rules:
  - name: scan
    match: {path: "/scan/{size}"}
    usage: {pages: {header: x-pages}, seconds: {header: x-seconds}}
    markup: 50%
    min_charge: 0.5
    max_charge: 100
    hold: {pages: 5, seconds: 100}
    price:
      by: path.size
      rates:
        big:
          pages: {free: 2, graduated: [{up_to: 10, rate: 0.01}, {rate: 0.005, flat: 0.02}]}
          seconds: {volume: [{up_to: 60, rate: 0.1}, {rate: 0.01}]}
        small: {by: response.status, rates: {2xx: {flat: 2}, "*": {pages: 0.1 per started 100}}}
"""


def test_explain_shows_what_a_price_is_made_of(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(PRICES)
    assert shown(capsys, "--rules", str(file), "/scan/big", "--usage", "pages=15,seconds=1").splitlines()[2:] == [
        "hold   9.045 credits",
        "       pages     2 × 0     = 0      free, 5",
        "       pages     3 × 0.01  = 0.03   up to 10, 5",
        "       seconds  60 × 0.1   = 6      up to 60, 100",
        "       markup    1 × 3.015 = 3.015  50%",
        "cost   0.5 credits",
        "       pages        2 × 0      = 0       free",
        "       pages       10 × 0.01   = 0.1     up to 10",
        "       pages        3 × 0.005  = 0.015   above 10",
        "       pages        1 × 0.02   = 0.02    flat, above 10",
        "       seconds      1 × 0.1    = 0.1     up to 60",
        "       markup       1 × 0.1175 = 0.1175  50%",
        "       min_charge   1 × 0.1475 = 0.1475  added up to it",
        "most   100 credits",
        "note   seconds: more than 60 cost less than 60, since all are at the rate of the last tier",
    ]


def test_explain_says_what_the_answer_decides(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(PRICES)
    lines = shown(capsys, "--rules", str(file), "/scan/small", "--usage", "pages=401").splitlines()[2:]
    assert lines[0] == "hold   3 credits"
    assert lines[3:] == [
        "cost   0.75 credits",
        "       pages   5 × 0.1  = 0.5   started packages of 100",
        "       markup  1 × 0.25 = 0.25  50%",
        "most   100 credits",
        'note   the price depends on the answer\'s status: the hold is for the dearest, the cost for "*"',
    ]


def test_explain_says_why_earlier_rules_do_not_match(capsys: pytest.CaptureFixture[str]) -> None:
    body = '{"model": "text-embedding-3-small"}'
    code, explanation = explained(capsys, "--rules", OPENAI, "POST", "/v1/embeddings?x=1", "-d", body)
    assert code == 0
    assert explanation["rule"] == "embeddings"
    assert [(earlier["rule"], earlier["why"]) for earlier in explanation["earlier"]] == [
        ("chat-completions", "the path does not match /v1/chat/completions"),
        ("responses", "the path does not match /v1/responses"),
    ]


def test_rules_that_were_tried_are_shown_when_they_came_close_or_with_verbose(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "version: 1\nrules:\n"
        "  - {name: other, match: {path: /other}, free: true}\n"
        "  - {name: put, match: {path: /a, method: PUT}, free: true}\n"
        "  - {name: a, match: {path: /a}, free: true}\n"
    )
    short = shown(capsys, "--rules", str(file), "/a").splitlines()
    assert short == [
        "GET /a",
        f"rule   a ({file}:5), free",
        f"       not put ({file}:4): the method is GET, not PUT",
        "       1 before it for other paths (--verbose shows them)",
    ]
    long = shown(capsys, "--rules", str(file), "/a", "--verbose").splitlines()
    assert long[2:] == [f"       not other ({file}:3): the path does not match /other", short[2]]


@pytest.mark.parametrize(
    ("arguments", "request_line", "rule"),
    [
        (("https://api.example.com/v1/models?x=1",), "GET /v1/models?x=1", "models"),
        (("-X", "DELETE", "https://api.example.com"), "DELETE /", None),
        (("https://api.example.com?x",), "GET /?x", None),
        (("--request", "POST", "/v1/models"), "POST /v1/models", None),
        (
            ("/v1/embeddings", "--data-raw", '{"model": "text-embedding-3-small"}'),
            "POST /v1/embeddings",
            "embeddings",
        ),
        (("/v1/embeddings", "-d", ""), "POST /v1/embeddings", "embeddings"),
    ],
)
def test_a_request_may_be_given_as_to_curl(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], request_line: str, rule: str | None
) -> None:
    _, explanation = explained(capsys, "--rules", OPENAI, *arguments)
    assert (explanation["request"], explanation["rule"]) == (request_line, rule)


def test_the_host_of_a_url_is_the_requests_unless_a_header_says_another(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text('version: 1\nrules: [{name: a, match: {path: /**, host: "*.example.com"}, free: true}]\n')
    url = ("--rules", str(file), "http://api.example.com:8080/a")
    assert explained(capsys, *url)[1]["rule"] == "a"
    assert explained(capsys, *url, "-H", "Host: other")[1]["rule"] is None


def test_a_recording_is_explained_with_its_costs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    usage = {"usage": {"prompt_tokens": 1200, "completion_tokens": 300}}
    har = recording(
        ("POST", "/v1/chat/completions", {"model": "gpt-4o-mini", "max_tokens": 300}, 200, usage),
        ("POST", "/v1/chat/completions", {"model": "gpt-4o-mini", "max_tokens": 300}, 500, {}),
        ("GET", "/v1/models", None, 200, {}),
        ("GET", "/favicon.ico", None, 404, {}),
        ("POST", "/v1/chat/completions", {"model": "gpt-99"}, 200, {}),
    )
    file = tmp_path / "session.har"
    file.write_text(json.dumps(har))
    assert sidecar("explain", "--rules", OPENAI, "--har", str(file)) == 1
    read = 'input_tokens=1200 output_tokens=300 request.model="gpt-4o-mini"'
    titles, *rows, empty, total = capsys.readouterr().out.splitlines()
    assert titles.split() == ["request", "rule", "hold", "cost", "unit", "usage"]
    # 45 bytes are at most 15 tokens: 15 x 0.15 + 300 x 0.60 = 182.25 base units
    assert [" ".join(row.split()) for row in rows] == [
        f"POST /v1/chat/completions chat-completions 0.000183 0.00036 credits {read}",
        "POST /v1/chat/completions chat-completions 0.000183 0 credits charged: none",
        "GET /v1/models models free",
        "GET /favicon.ico refused: no rule matches",
        "POST /v1/chat/completions chat-completions refused as unpriced: There is no price for model 'gpt-99' here.",
    ]
    assert (empty, total) == ("", "5 requests for 0.00036 credits; 2 refused")


def test_a_recording_as_json_and_at_length(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "session.har"
    file.write_text(json.dumps(recording(("GET", "/v1/models", None, 200, {}))))
    assert sidecar("explain", "--rules", OPENAI, "--har", str(file), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["cost"], printed["refused"], [entry["rule"] for entry in printed["entries"]]) == (
        {},
        0,
        ["models"],
    )
    lines = shown(capsys, "--rules", OPENAI, "--har", str(file), "--verbose").splitlines()
    assert lines[0] == "GET /v1/models"
    assert lines[-1] == "1 request for nothing; 0 refused"


def recording(*exchanges: tuple[str, str, Any, int, Any]) -> dict[str, Any]:
    """A HAR of JSON exchanges: method, path, body, status, answer."""
    entries = [
        {
            "request": {
                "method": method,
                "url": f"https://api.example.com{path}",
                "headers": [],
                **({"postData": {"mimeType": "application/json", "text": json.dumps(body)}} if body else {}),
            },
            "response": {"status": status, "headers": [], "content": {"size": 1, "text": json.dumps(answer)}},
            "time": 12.5,
        }
        for method, path, body, status, answer in exchanges
    ]
    return {"log": {"version": "1.2", "entries": entries}}


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


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("",),
        ("GET", "POST", "/x"),
        ("-X", "GET", "POST", "/x"),
        ("--har", "x.har", "/x"),
        ("--har", "x", "-d", "y"),
    ],
)
def test_there_is_one_request_or_one_recording(arguments: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match=r"Give one request|its own requests"):
        sidecar("explain", "--rules", HTTP, *arguments)


def test_explain_says_what_happens_when_the_hold_does_not_fit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yaml"
    rule = "{name: a, match: {path: /a}, usage: openai.chat, price: {output_tokens: 1}, on_short: clamp max_tokens}"
    file.write_text(f"version: 1\ndefaults: {{shadow: true}}\nrules:\n  - {rule}\n")
    note = "note   when the hold does not fit, max_tokens is lowered to what the balance buys, to 1 at least\n"
    text = shown(capsys, "--rules", str(file), "POST", "/a", "-d", "{}")
    assert note in text
    assert "note   in shadow: what would be refused is served, and not charged\n" in text


def test_explain_says_what_a_request_may_go_over_to(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    rule = "{name: a, match: {path: /a}, upgrade: websocket, usage: {m: {messages: client}}, price: {m: 1}, hold: 1}"
    file.write_text(f"version: 1\nrules:\n  - {rule}\n")
    text = shown(capsys, "--rules", str(file), "GET", "/a")
    assert "note   it may go over to websocket; what the session costs shows only as it lasts\n" in text
    assert "note   the hold grows while the session lasts; when there is no more credit, it is cut\n" in text


@pytest.mark.parametrize(("way", "end"), [("cut", "cut"), ("finish", "finished, for debt")])
def test_explain_says_what_becomes_of_an_answer_that_credit_ends_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, way: str, end: str
) -> None:
    file = tmp_path / "rules.yaml"
    rule = f"{{name: a, match: {{path: /a}}, usage: openai.chat, price: {{output_tokens: 1}}, on_exhausted: {way}}}"
    file.write_text(f"version: 1\nrules:\n  - {rule}\n")
    text = shown(capsys, "--rules", str(file), "POST", "/a", "-d", "{}")
    assert f"note   the hold grows while the answer streams; when there is no more credit, it is {end}\n" in text


def test_a_price_of_a_customers_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "version: 1\nrules:\n  - name: a\n    match: {path: /a}\n"
        '    price: {by: customer, rates: {acme: {flat: 1}, no: deny, small-*: {flat: 2}, "*": {flat: 3}}}\n'
    )
    asked = ("--rules", str(file), "GET", "/a")
    for customer, amount in {"acme": "1", "small-one": "2", "other": "3"}.items():
        found = explained(capsys, *asked, "--customer", customer)[1]
        assert (found["hold"]["amount"], found.get("notes")) == (amount, None)
    code, refused = explained(capsys, *asked, "--customer", "no")
    assert (code, refused["refused"]["code"]) == (1, "unpriced")
    anybody = explained(capsys, *asked)[1]
    assert anybody["hold"]["amount"] == "3"
    assert anybody["notes"] == ["the price depends on who asks, which --customer says: this is that of anybody else"]
