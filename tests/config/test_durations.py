"""A duration is a whole number and a unit, and every place says what it takes."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.durations import Duration
from sidecar.config.source import parse

SPAN = Duration(("s", "m", "h", "d"), "2d", "2s or 1d")
WAIT = Duration(("ms", "s"), "1s", "2ms or 1s", too_long="is longer than anybody waits", instead="a second at most")


def read(text: str, span: Duration = SPAN) -> tuple[int, list[tuple[str, str]]]:
    cursor = Cursor(parse(text, "x.yaml"), [])
    return span.read_ms(cursor), [(problem.message, problem.hint) for problem in cursor.problems]


@pytest.mark.parametrize(
    ("text", "span_ms"),
    [("2s", 2000), ("3m", 180_000), ("48h", 172_800_000), ("2d", SPAN.most_ms), ("99999s", 99_999_000)],
)
def test_a_number_and_a_unit(text: str, span_ms: int) -> None:
    assert read(text) == (span_ms, [])


def test_milliseconds_where_they_matter() -> None:
    assert read("500ms", WAIT) == (500, [])


@pytest.mark.parametrize("text", ["5ms", "2 s", "0s", "-1s", "1.5h", "s", "2days", "100000s", "٣s", "'2s '"])
def test_anything_else_is_told_what_it_should_be(text: str) -> None:
    span_ms, ((message, fix),) = read(text)
    assert span_ms == 0
    assert "is not a duration" in message
    assert fix == "a whole number with s, m, h or d, such as 2s or 1d"


def test_more_than_the_most_is_a_problem() -> None:
    assert read("3d")[1] == [("`3d` is too long", "2d at most")]
    assert read("2s", WAIT)[1] == [("`2s` is longer than anybody waits", "a second at most")]
