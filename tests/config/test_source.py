from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.problems import ConfigError
from sidecar.config.source import ALIASES_MAX, DEPTH_MAX, TEXT_MAX_BYTES, parse, read


def wrong(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.yaml")
    return caught.value.detail


def test_data_is_plain() -> None:
    text = "a: 1\nb: [0.5, true, null, ~, 'on', \"12:30\", 2025-01-01, v1.2, 1e3, -7, +.5, a b]\n5: {on: x}\n"
    assert parse(text, "x.yaml").data == {
        "a": 1,
        "b": [0.5, True, None, None, "on", "12:30", "2025-01-01", "v1.2", 1000.0, -7, 0.5, "a b"],
        "5": {"on": "x"},
    }


def test_an_empty_text_is_nothing() -> None:
    assert parse("", "x.yaml").data is None
    assert parse("# only a comment\n", "x.yaml").data is None


@pytest.mark.parametrize(
    "text",
    ["yes", "No", "ON", "off", "1:30", "12:30:00", "010", "0o17", "0x1F", "0b1", "1_000", ".inf", "-.Inf", ".NaN"],
)
def test_what_yaml_readers_disagree_about_is_refused_unless_quoted(text: str) -> None:
    assert f"x.yaml:1:4: `{text}` is" in wrong(f"a: {text}")
    assert parse(f"a: '{text}'", "x.yaml").data == {"a": text}


def test_every_place_is_known() -> None:
    document = parse('a:\n  - b: "x y"\n    c: >\n      long\n', "x.yaml")
    place = document.places["a", 0, "b"]
    assert (place.line, place.column, place.key_line, place.key_column, place.text_column) == (2, 8, 2, 5, 9)
    assert document.places["a", 0, "c"].text_column == 0
    assert document.text(("a", 0, "b")) == "x y"
    assert document.text(("a",)) is None


def test_decimals_are_kept_as_written() -> None:
    assert parse("a: 0.10", "x.yaml").text(("a",)) == "0.10"


def test_problems_point_at_value_key_and_character() -> None:
    document = parse("a: {bc: 'x + y'}\n", "x.yaml")
    places = [
        document.problem(("a", "bc"), "m"),
        document.problem(("a", "bc"), "m", at_key=True),
        document.problem(("a", "bc"), "m", offset=2),
        document.problem(("a", "missing"), "m"),
    ]
    assert [(problem.line, problem.column) for problem in places] == [(1, 9), (1, 5), (1, 12), (1, 4)]
    assert document.problem(("a",), "m", secret=True).source == ""


def test_an_alias_is_what_it_names() -> None:
    document = parse("a: &x {b: 1}\nc: *x\nd: *x\n", "x.yaml")
    assert document.data == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1}}
    assert document.places["d", "b"].line == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: *x", "`*x` does not name an anchor"),
        ("a: &x [*x]", "`*x` does not name an anchor"),
        ("{<<: {}}", "merge keys"),
        ("a: 1\na: 2\nb: 1\nb: 2", "2:1: `a` is set twice"),
        ("? [a]\n: b", "a key must be text"),
        ("a: !x b", "tags are not used here"),
        ("a: 1\n--- \nb: 2", "a second document"),
        ("a: [", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("a: \x07", "1:4: not valid YAML: character U+0007"),
        ("[" * (DEPTH_MAX + 2), "nested deeper"),
        ("a: &x 1\nb: [" + "*x," * (ALIASES_MAX + 1) + "]", "aliases"),
        ("#" * (TEXT_MAX_BYTES + 1), "larger than"),
        ("a: &x [b,b,b,b,b,b,b,b,b]\n" + "".join(
            f"x{n}: &x [*x,*x,*x,*x,*x,*x,*x,*x,*x]\n" for n in range(6)), "more than 100000 values"),
        ("a: &x [b]\n" + "".join(f"x{n}: &x [*x]\n" for n in range(40)), "nested deeper"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, message: str) -> None:
    assert message in wrong(text)


def test_all_problems_of_form_come_at_once() -> None:
    assert [line for line in wrong("a: yes\na: 0x1\nb: !t 1\n").splitlines() if line.startswith("x.yaml")] == [
        "x.yaml:1:4: `yes` is a boolean to some YAML readers and text to others",
        "x.yaml:2:4: `0x1` is a number to some YAML readers and text to others",
        "x.yaml:2:1: `a` is set twice",
        "x.yaml:3:4: tags are not used here",
    ]


@given(st.text(alphabet="ab:[]{}&*!-?|>'\"#,\n\t %@`~0.é\x00", max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        parse(text, "x.yaml")
    except ConfigError as error:
        problems = error.problems
    else:
        return
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)


def test_files_are_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes("\ufeffa: é\n".encode())
    assert read(file).data == {"a": "é"}
    file.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:2:1: not UTF-8 text"):
        read(file)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none: no such file"):
        read(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path)
