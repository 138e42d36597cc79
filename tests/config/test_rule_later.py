"""What `settle:` means."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_later import read_later
from sidecar.config.source import parse
from sidecar.domain.later import Later


def read(text: str) -> tuple[Later | None, list[str]]:
    cursor = Cursor(parse(text, "x.yaml"), [])
    return read_later(cursor), [problem.message for problem in cursor.problems]


def test_the_word_alone() -> None:
    assert read("later") == (Later(on=frozenset({202}), within_s=86_400), [])


def test_statuses_and_time() -> None:
    assert read("{on: [201, 202], within: 7d}") == (Later(on=frozenset({201, 202}), within_s=7 * 86_400), [])
    assert read("{within: 90s}")[0] == Later(within_s=90)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sooner", "`sooner` is not when a request is settled"),
        ("{within: 31d}", "`31d` is too long"),
        ("{within: 90}", "a number here: expected how long, such as 2h or 7d"),
        ("{within: soon}", "`soon` is not a duration"),
        ("{on: [700]}", "`700` is not a status of an answer"),
        ("{after: [202]}", "unknown key `after`"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    later, problems = read(text)
    assert (later, problems) == (None, [message])
