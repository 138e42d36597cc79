import pytest

from sidecar.config.problems import ConfigError, Problem, Severity, suggestion


def test_a_problem_shows_its_line_and_a_hint() -> None:
    problem = Problem(
        file="rules/chat.yaml",
        line=3,
        column=29,
        message="unknown key `metod`",
        hint="did you mean `method`?",
        source="    match: {path: /v1/chat, metod: POST}",
    )
    assert problem.render() == (
        "rules/chat.yaml:3:29: unknown key `metod`\n"
        "    3 |     match: {path: /v1/chat, metod: POST}\n"
        "      |                             ^\n"
        "      = did you mean `method`?"
    )


def test_the_caret_stands_below_its_character_behind_tabs() -> None:
    lines = Problem(file="x", line=10, column=3, message="m", source="\ta b").render().splitlines()
    assert lines[1:] == ["    10 | \ta b", "       | \t ^"]


def test_what_moves_a_cursor_is_not_shown() -> None:
    assert "\x1b" not in Problem(file="x", line=1, column=1, message="m", source="a\x1b[31m").render()


@pytest.mark.parametrize("source", ["", "x" * 1000])
def test_without_a_line_to_show_there_is_none(source: str) -> None:
    assert Problem(file="x", line=1, column=2, message="m", source=source).render() == "x:1:2: m"


def test_a_problem_may_have_no_line() -> None:
    assert (
        Problem(file="SIDECAR_PROXY_LISTEN", message="m", hint="h").render() == "SIDECAR_PROXY_LISTEN: m\n      = h"
    )


def test_an_error_shows_all_its_problems() -> None:
    error = ConfigError([Problem(file="a", message="one"), Problem(file="b", message="two")])
    assert error.detail == "a: one\nb: two"
    assert len(error.problems) == 2


@pytest.mark.parametrize(
    ("word", "hint"),
    [("metod", "did you mean `method`?"), ("METHOD", "did you mean `method`?"), ("zz", "known here: method, path")],
)
def test_suggestions(word: str, hint: str) -> None:
    assert suggestion(word, ["method", "path"]) == hint


def test_nothing_known_suggests_nothing() -> None:
    assert suggestion("x", []) == ""


def test_a_warning_says_that_it_is_one() -> None:
    warning = Problem(file="a", line=1, column=2, message="m", severity=Severity.WARNING)
    assert warning.render() == "a:1:2: warning: m"
