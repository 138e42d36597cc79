"""The schema takes what the checks take, and refuses what it can of what they refuse."""

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sidecar.config.problems import ConfigError
from sidecar.config.rule import RULE_KEYS
from sidecar.config.schema import DIALECT, schema
from sidecar.config.source import parse, read

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
GOOD = sorted([*(ROOT / "rules").glob("*.yaml"), *CASES.glob("*.good.yaml"), ROOT / "benchmarks" / "rules.yaml"])
PAGE = (ROOT / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n((?:(?!^cases:|^```).*\n)*)^```", PAGE, re.MULTILINE)
VALIDATOR = Draft202012Validator(schema())

ONLY_CHECKED = {
    *("all_denied", "bad_host", "clamp_without_effect", "deny_all_inside", "header_without_max_charge"),
    *("hold_expression", "hold_incomplete"),
    *("hold_without_rate", "min_charge", "name_twice", "no_hold", "price_by_answer", "price_by_request_in_answer"),
    *("percentile_at_first", "price_versions_apart", "ranges", "rate_for_nothing", "unknown_unit", "unreachable"),
    *("usage_and_price", "usage_without_effect", "without_effect"),
}
"""Mistakes that lie in two places at once, or in an expression: `rules check` sees them, a schema does not."""


def complaints(document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(document)]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == DIALECT
    assert json.loads(json.dumps(schema())) == schema()


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_files_that_load_are_taken(path: Path) -> None:
    assert complaints(read(path).data) == []


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_reference_are_taken(text: str) -> None:
    assert complaints(parse(text, "example").data) == []


def bad_documents() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.bad.yaml")):
        try:
            yield pytest.param(read(path).data, path.name.removesuffix(".bad.yaml"), id=path.name)
        except ConfigError:
            continue  # Not even YAML as it is used here: no schema will see it.


@pytest.mark.parametrize(("document", "name"), list(bad_documents()))
def test_mistakes_in_one_place_are_refused(document: Any, name: str) -> None:
    assert (complaints(document) == []) is (name in ONLY_CHECKED)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"nam": "a"}, "$.rules[0]"),
        ({"match": {"path": "v1"}}, "$.rules[0].match.path"),
        ({"match": {"path": "/a", "method": "get"}}, "$.rules[0].match.method"),
        ({"usage": "openai.chatt"}, "$.rules[0].usage"),
        ({"price": {"flat": -1}}, "$.rules[0].price.flat"),
        ({"price": {"gpu_ms": "1 pro 1M"}}, "$.rules[0].price.gpu_ms"),
        ({"price": {"by": "request.model"}}, "$.rules[0].price"),
        ({"price": {"by": "model", "rates": {"a": {"flat": 1}}}}, "$.rules[0].price.by"),
        ({"price": {"by": "request.model", "rates": {"a": "denied"}}}, "$.rules[0].price.rates.a"),
        ({"free": True}, "$.rules[0]"),
        ({"hold": {"Tokens": 1}}, "$.rules[0].hold"),
        ({"charge_on": ["2xx", "1xx"]}, "$.rules[0].charge_on[1]"),
        ({"on_unknown": "chrage_hold"}, "$.rules[0].on_unknown"),
    ],
)
def test_a_mistake_is_told_at_its_place(change: dict[str, Any], place: str) -> None:
    rule = {"name": "a", "match": {"path": "/a"}, "price": {"flat": 1}}
    assert complaints({"version": 1, "rules": [rule]}) == []
    found = [error.json_path for error in VALIDATOR.iter_errors({"version": 1, "rules": [rule | change]})]
    assert found
    assert all(path.startswith(place) for path in found), found


def keys_that_are_read() -> Iterator[tuple[str, frozenset[str]]]:
    """The keys of each mapping that rule files can have, from the calls that read them."""
    for path in sorted((ROOT / "sidecar" / "config").glob("rule*.py")):
        module = importlib.import_module(f"sidecar.config.{path.stem}")
        if path.stem == "rule_tests":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if called and isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".entries", ".only")):
                keys = eval(ast.unparse(node.args[0]), vars(module))
                yield f"{path.name}:{node.lineno}", frozenset(keys)


def objects(node: Any) -> Iterator[frozenset[str]]:
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield frozenset(node["properties"])
        for child in node.values():
            yield from objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child)


@pytest.mark.parametrize(("place", "keys"), list(keys_that_are_read()))
def test_every_mapping_that_is_read_is_in_the_schema(place: str, keys: frozenset[str]) -> None:
    assert keys in set(objects(schema())), f"{place} reads {sorted(keys)}"


def test_every_key_of_a_rule_says_what_it_is_for() -> None:
    properties = schema()["$defs"]["rule"]["properties"]
    assert tuple(properties) == RULE_KEYS
    assert all(each["description"].endswith(".") for each in properties.values())
