"""What `retry:` means; what is wrong with it is in ``cases``."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_retry import read_retry
from sidecar.config.source import parse
from sidecar.domain.retries import NEVER, Retry


def read(text: str) -> tuple[Retry, list[str]]:
    cursor = Cursor(parse(text, "x.yaml"), [])
    return read_retry(cursor), [problem.message for problem in cursor.problems]


def test_causes_and_statuses() -> None:
    assert read("{after: [connect, reset, timeout, 502, 503], most: 3}") == (
        Retry(frozenset({"connect", "reset", "timeout"}), frozenset({502, 503}), 3),
        [],
    )


def test_once_more_if_nothing_is_said() -> None:
    assert read("{after: [503]}")[0].most == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{most: 2}", "no `after`: which failures are tried again?"),
        ("{after: []}", "empty: expected a list of connect, reset, timeout and statuses such as 502 or 503"),
        ("{after: [404]}", "nothing is tried again after this"),
        ("{after: [broken]}", "nothing is tried again after this"),
    ],
)
def test_nothing_is_tried_again_beside_a_mistake(text: str, message: str) -> None:
    assert read(text) == (NEVER, [message])


@pytest.mark.parametrize("most", ["0", "11", "true", "two", "1.5"])
def test_a_number_of_attempts(most: str) -> None:
    assert read(f"{{after: [503], most: {most}}}")[1] == ["not a number of further attempts"]
