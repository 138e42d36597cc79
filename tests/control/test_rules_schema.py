"""What is said of rules, and of those that are not in force."""

from pathlib import Path

import msgspec

from sidecar.control.rules_schema import RulesView
from sidecar.domain.amounts import CREDITS
from sidecar.services.reloading import Reloading

GOOD = "version: 1\nrules:\n  - {name: a, match: {path: /a}, price: {flat: 0.1}}\n"


async def test_a_failure_is_told_beside_what_is_in_force(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(GOOD)
    now_ms = iter((1_000, 61_000))
    reloading = Reloading([file], {"credits": CREDITS}, now_ms=lambda: next(now_ms))
    file.write_text(GOOD.replace("flat", "flatt"))
    await reloading.reload("a test says so")
    shown = msgspec.json.decode(msgspec.json.encode(RulesView.of(reloading)))
    assert shown["loaded_at"] == "1970-01-01T00:00:01Z"
    assert [rule["name"] for rule in shown["rules"]] == ["a"]
    assert shown["failure"]["at"] == "1970-01-01T00:01:01Z"
    (problem,) = shown["failure"]["problems"]
    text = problem.pop("text")
    assert problem == {
        "file": str(file),
        "line": 3,
        "column": 42,
        "message": "nothing measures `flatt`",
        "hint": "did you mean `flat`?",
    }
    assert text.splitlines()[2].strip() == "|" + " " * 42 + "^"


async def test_decimals_are_shown_as_written(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(GOOD)
    (rule,) = RulesView.of(Reloading([file], {"credits": CREDITS})).rules
    assert bytes(rule.written) == b'{"name":"a","match":{"path":"/a"},"price":{"flat":0.1}}'
