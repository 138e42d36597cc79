from typing import Any

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.problems import Problem
from sidecar.config.source import parse


def at(text: str, *path: str | int) -> Cursor:
    problems: list[Problem] = []
    return Cursor(parse(text, "x.yaml"), problems, path)


def said(cursor: Cursor) -> list[tuple[int, int, str, str]]:
    return [(problem.line, problem.column, problem.message, problem.hint) for problem in cursor.problems]


def test_a_cursor_is_a_value_and_its_place() -> None:
    cursor = at("a:\n  - {b: 5}\n", "a", 0, "b")
    assert (cursor.value, cursor.where) == (5, "x.yaml:2")


def test_known_keys_are_given_and_others_reported_at_their_place() -> None:
    cursor = at("name: 1\nnmae: 2\n")
    assert list(cursor.entries(("name", "path"), "a-rule")) == ["name"]
    assert said(cursor) == [(2, 1, "unknown key `nmae`", "did you mean `name`?")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 5", "a number here: expected WANTED"),
        ("a: 0.5", "a number here: expected WANTED"),
        ("a: x", "text here: expected WANTED"),
        ("a: true", "true or false here: expected WANTED"),
        ("a: []", "a list here: expected WANTED"),
        ("a:", "nothing here: expected WANTED"),
        ("a: ''", "nothing here: expected WANTED"),
        ("a: {}", "empty: expected WANTED"),
    ],
)
def test_what_is_no_mapping_is_reported_once(text: str, message: str) -> None:
    cursor = at(text, "a")
    assert cursor.mapping("WANTED") == {}
    assert [problem.message for problem in cursor.problems] == [message]


def test_a_list_or_its_only_item() -> None:
    assert [item.value for item in at("a: [x, y]", "a").one_or_items("names")] == ["x", "y"]
    assert [item.value for item in at("a: x", "a").one_or_items("names")] == ["x"]
    for text in ("a: []", "a: x"):
        cursor = at(text, "a")
        assert cursor.items("names") == []
        assert len(cursor.problems) == 1


def test_one_of_several_keys() -> None:
    found = at("{b: 1}").only(("a", "b"), "a or b")
    assert found is not None
    assert (found[0], found[1].value) == ("b", 1)
    cursor = at("{a: 1, b: 1}")
    assert cursor.only(("a", "b"), "a or b") is None
    assert said(cursor) == [(1, 1, "only one of these can stand here: a, b", "expected a or b")]


@pytest.mark.parametrize(
    ("text", "written"),
    [("a: 0.10", "0.10"), ("a: 5", "5"), ("a: 1 per 1M", "1 per 1M"), ("a: true", None), ("a: [1]", None)],
)
def test_numbers_are_taken_as_written(text: str, written: str | None) -> None:
    cursor = at(text, "a")
    assert cursor.written("a number") == written
    assert bool(cursor.problems) is (written is None)


@pytest.mark.parametrize(("text", "value"), [("a: x", "x"), ("a: 5", None), ("a: ''", None), ("a: {}", None)])
def test_text(text: str, value: Any) -> None:
    cursor = at(text, "a")
    assert cursor.text("text") == value
    assert bool(cursor.problems) is (value is None)


@pytest.mark.parametrize(
    ("text", "value"), [("a: true", True), ("a: false", False), ("a: 'true'", None), ("a: 1", None)]
)
def test_flags(text: str, value: bool | None) -> None:
    cursor = at(text, "a")
    assert cursor.flag() is value
    assert bool(cursor.problems) is (value is None)


def test_choices() -> None:
    assert at("a: hold", "a").choice(("hold", "refuse"), "a way out") == "hold"
    cursor = at("a: hodl", "a")
    assert cursor.choice(("hold", "refuse"), "a way out") is None
    assert said(cursor) == [(1, 4, "`hodl` is not a way out", "did you mean `hold`?")]


def test_problems_can_point_into_text_and_at_keys() -> None:
    cursor = at("key: 'a + b'", "key")
    cursor.problem("one", offset=4)
    cursor.problem("two", at_key=True)
    assert [column for _, column, _, _ in said(cursor)] == [11, 1]
