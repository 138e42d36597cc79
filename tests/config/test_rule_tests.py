import re
import shutil
from pathlib import Path

import pytest

from sidecar.config.problems import ConfigError
from sidecar.config.rule_tests import (
    CASE_KEYS,
    EXPECT_KEYS,
    REQUEST_KEYS,
    RESPONSE_KEYS,
    Suite,
    failures,
    read_suite,
)
from sidecar.domain.amounts import CREDITS, Unit
from sidecar.domain.metering import End

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(version: 1\nrules: .*\ncases:\n(?:(?!^```).*\n)*)^```", PAGE, re.MULTILINE)
UNITS = {"credits": CREDITS, "seconds": Unit(name="seconds", scale=3)}
RULES = """\
version: 1
rules:
  - {name: health, match: {path: /health, method: GET}, free: true}
  - name: chat
    match: {path: /chat, headers: {X-Tier: gold}}
    usage: openai.chat
    price:
      by: request.model
      rates: {small: {input_tokens: 1, output_tokens: 2}, "*": deny}
    hold: {input_tokens: request.body_bytes, output_tokens: request.max_tokens or 10}
  - name: time
    match: {path: /time}
    unit: seconds
    usage: {time: {duration: ms}, up: {bytes: request}, down: {bytes: response}}
    price: {time: 0.001, up: 1, down: 1}
    hold: 0.5
    on_unknown: charge_observed
"""
CHAT = "request: {path: /chat, headers: {x-tier: gold}, body: {model: small}}"


def suite(folder: Path, cases: str, head: str = "version: 1\nrules: rules.yaml\n") -> Suite:
    (folder / "rules.yaml").write_text(RULES)
    (folder / "tests.yaml").write_text(f"{head}cases:\n{cases}\n")
    return read_suite(folder / "tests.yaml", UNITS)


def told(folder: Path, *cases: str) -> list[list[str]]:
    """What each case gets wrong, with the text below which the caret is."""
    listed = "\n".join(
        f"  - name: c{number}\n    " + case.replace("\n", "\n    ") for number, case in enumerate(cases)
    )
    found = failures(suite(folder, listed), UNITS)
    return [[f"{problem.message} @ {problem.source[problem.column - 1 :]}" for problem in case] for case in found]


def test_what_is_as_expected_has_no_failure(tmp_path: Path) -> None:
    usage = "{usage: {prompt_tokens: 3, completion_tokens: 4}}"
    assert (
        told(
            tmp_path,
            f"{CHAT}\nresponse: {{body: {usage}}}\n"
            "expect: {rule: chat, hold: 37, usage: {output_tokens: 4, input_tokens: 3}, charged: reported, cost: 11}",
            f"{CHAT}\nresponse: {{events: [{{data: {usage}}}, {{data: '[DONE]'}}]}}\nexpect: {{cost: 11.0}}",
            f"{CHAT}\nresponse: {{body: nothing}}\n"
            "expect: {charged: estimated, usage: {input_tokens: 5, output_tokens: 3}}",
            f"{CHAT}\nresponse: {{status: 500, body: {usage}}}\nexpect: {{cost: 0, charged: none}}",
            "request: {method: PUT, path: '/time?x', body: 12345}\nresponse: {body: abc, duration_ms: 12}\n"
            "expect: {rule: time, hold: 0.5, usage: {time: 12, up: 5, down: 3}, cost: 8.012}",
            "request: {path: /time}\nresponse: {lines: [{a: 1}, text], duration_ms: 1}\n"
            "expect: {usage: {down: 13, time: 1}}",
            "request: {path: /time}\nresponse: {ended: upstream_failed}\nexpect: {cost: 0, charged: none}",
            "request: {path: /health}\nresponse: {status: 204}\nexpect: {rule: health, hold: 0, usage: {time: 0}}",
            "request: {path: /chat, body: {}}\nexpect: {rule: none, refused: unmatched_route}",
            "request: {path: /a//b}\nexpect: {refused: bad_request}",
            "request: {path: /chat, headers: {X-Tier: gold}, body: a}\nexpect: {refused: unreadable_request}",
        )
        == [[]] * 11
    )


def test_what_is_not_as_expected_is_told_at_its_place(tmp_path: Path) -> None:
    usage = "{usage: {prompt_tokens: 3, completion_tokens: 4}}"
    wrong = "expect: {rule: time, hold: 1, usage: {output_tokens: 4}, charged: hold, cost: 2}"
    assert told(
        tmp_path,
        f"{CHAT}\nresponse: {{body: {usage}}}\n{wrong}",
        "request: {path: /nothing}\nexpect: {rule: chat, hold: 1}",
        f"{CHAT}\nexpect: {{refused: unpriced}}",
        "request: {path: /chat, headers: {X-Tier: gold}, body: {model: big}}\nexpect: {hold: 1}",
        "request: {path: /time}\nexpect: {hold: 0.0001}",
        "request: {path: /health}\nexpect: {hold: 1}",
    ) == [
        [
            f"c0: the rule is chat, expected time @ {wrong[15:]}",
            f"c0: the hold is 37 credits, expected 1 @ {wrong[27:]}",
            f"c0: the usage is input_tokens=3 output_tokens=4, expected output_tokens=4 @ {wrong[37:]}",
            "c0: charged is reported, expected hold @ hold, cost: 2}",
            "c0: the cost is 11 credits, expected 2 @ 2}",
        ],
        [
            "c1: the rule is none, expected chat @ chat, hold: 1}",
            "c1: it is refused as unmatched_route @ chat, hold: 1}",
        ],
        ["c2: refused is nothing: it is forwarded, expected unpriced @ unpriced}"],
        ["c3: it is refused as unpriced @ 1}"],
        ["c4: `0.0001` is not an amount @ 0.0001}"],
        ["c5: the hold is 0 credits, expected 1 @ 1}"],
    ]


@pytest.mark.parametrize(
    ("case", "messages"),
    [
        ("{}", ["empty: expected name, position, request, response and expect"]),
        ("{request: {path: /a}}", ["no `name`", "no `expect`"]),
        ("{name: a, expect: {rule: a}}", ["no `request`"]),
        ("{name: a, request: {method: GET}, expect: {rule: a}}", ["no `path`"]),
        ("{name: a, request: {path: /a}, expect: {}}", ["empty: expected rule, refused, hold, cost, usage, charged"]),
        ("{name: a, request: {path: /a}, expect: {cost: 1}}", ["no `response` in this case: what would it cost?"]),
        ("{name: a, request: {path: /a}, expect: {refused: x, hold: 1}}", ["a request that is refused has no hold"]),
        ("{name: a, request: {path: /a}, expect: {hold: [1]}}", ["a list here: expected a decimal amount"]),
        ("{name: a, request: {path: /a}, response: {status: 200}, expect: {charged: it}}",
         ["`it` is not where a charge comes from"]),
        ("{name: a, request: {path: /a}, response: {status: 200}, expect: {usage: {a: -1}}}",
         ["`-1` is not what a meter could read"]),
        ("{name: a, request: {path: /a}, response: {status: ok, duration_ms: -1}, expect: {rule: a}}",
         ["expected a whole number from 0 to 999", "expected a whole number from 0 to 9007199254740991"]),
        ("{name: a, request: {path: /a}, response: {body: a, lines: [a]}, expect: {rule: a}}",
         ["an answer has one body, not body and lines"]),
        ("{name: a, request: {path: /a}, response: {ended: never}, expect: {rule: a}}",
         ["`never` is not an end of an answer"]),
        ("{name: a, request: {path: /a}, response: {events: [{dat: a}]}, expect: {rule: a}}", ["unknown key `dat`"]),
    ],
)  # fmt: skip
def test_mistakes_in_cases_are_told_at_once(tmp_path: Path, case: str, messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        suite(tmp_path, f"  - {case}")
    assert [problem.message for problem in caught.value.problems] == messages


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "rules: rules.yaml\ncases: [1]\n",
            ["no `version`", "a number here: expected name, position, request, response and expect"],
        ),
        ("version: 2\nrules: rules.yaml\n", ["this is version 1 of the language", "no `cases`"]),
        (
            "version: 1\ncases: [{name: a, request: {path: /a}, expect: {rule: a}}]\n",
            ["no `rules`: which files are tested?"],
        ),
    ],
)
def test_mistakes_in_files_are_told_at_once(tmp_path: Path, text: str, messages: list[str]) -> None:
    file = tmp_path / "tests.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_suite(file, UNITS)
    assert [problem.message for problem in caught.value.problems] == messages


def test_bodies_are_what_was_written(tmp_path: Path) -> None:
    case = (
        "  - name: a\n    request: {path: /a, body: {b: 1.5, c: [true, null]}, headers: {X-N: 7}}\n"
        "    response: {events: [{event: e, data: {d: 1}}, {data: 'x'}], ended: client_gone, headers: {X-A: b}}\n"
        "    expect: {rule: none}"
    )
    (read,) = suite(tmp_path, case).cases
    assert (read.request.method, read.request.fields) == (b"POST", {b"x-n": b"7"})
    assert read.request.body == b'{"b":1.5,"c":[true,null]}'
    assert read.answer is not None
    assert read.answer.body == b'event: e\ndata: {"d":1}\n\ndata: x\n\n'
    assert read.answer.fields == {b"content-type": b"text/event-stream", b"x-a": b"b"}
    assert read.answer.end is End.CLIENT_GONE


def test_rules_may_be_named_by_who_runs_the_cases(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    file = tmp_path / "tests.yaml"
    file.write_text("version: 1\ncases: [{name: a, request: {path: /health}, expect: {rule: health}}]\n")
    assert failures(read_suite(file, UNITS, [tmp_path / "rules.yaml"]), UNITS) == [[]]


def test_mistakes_in_the_rules_are_those_of_the_rules(tmp_path: Path) -> None:
    case = "  - {name: a, request: {path: /a}, expect: {rule: a}}"
    with pytest.raises(ConfigError, match="no such file"):
        suite(tmp_path, case, "version: 1\nrules: [rules.yaml, none.yaml]\n")


def test_the_example_of_the_reference_comes_true(tmp_path: Path) -> None:
    (text,) = EXAMPLES
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "rules" / "openai.yaml", tmp_path)
    file = tmp_path / "tests" / "cases.yaml"
    file.write_text(text)
    found = failures(read_suite(file, UNITS), UNITS)
    assert [problem.render() for case in found for problem in case] == []
    assert len(found) == 3


def test_the_reference_names_every_key_of_a_case() -> None:
    _, _, section = PAGE.partition("### test")
    keys = {*CASE_KEYS, *REQUEST_KEYS, *RESPONSE_KEYS, *EXPECT_KEYS}
    assert [key for key in sorted(keys) if f"`{key}`" not in section and f"{key}:" not in section] == []


def test_a_case_says_who_asks(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "version: 1\nrules:\n  - name: a\n    match: {path: /a}\n"
        '    price: {by: customer, rates: {acme: {flat: 1}, "*": {flat: 2}}}\n'
    )
    (tmp_path / "tests.yaml").write_text(
        "version: 1\nrules: own.yaml\ncases:\n"
        "  - {name: own, request: {path: /a, customer: acme}, expect: {hold: 1}}\n"
        "  - {name: other, request: {path: /a, customer: other}, expect: {hold: 2}}\n"
        "  - {name: nobody, request: {path: /a}, expect: {hold: 2}}\n"
    )
    assert failures(read_suite(tmp_path / "tests.yaml", UNITS), UNITS) == [[], [], []]
