"""What `on_store_down:` means; more of what is wrong with it is in ``cases``."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_outage import read_outage
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.store_down import DENY, OnStoreDown, StoreDown

ONE = 10**CREDITS.scale


def read(text: str) -> tuple[StoreDown, list[str]]:
    cursor = Cursor(parse(text, "x.yaml"), [])
    return read_outage(cursor, CREDITS), [problem.message for problem in cursor.problems]


@pytest.mark.parametrize("way", OnStoreDown)
def test_a_word(way: OnStoreDown) -> None:
    assert read(way) == (StoreDown(way=way), [])


def test_bounds() -> None:
    assert read("{allow: {most: 5, for: 90s}}") == (
        StoreDown(way=OnStoreDown.ALLOW, most=5 * ONE, for_s=90),
        [],
    )
    assert read("{allow: {most: 1, total: 1}}") == (StoreDown(way=OnStoreDown.ALLOW, most=ONE, total=ONE), [])
    assert read("{allow: {for: 2h}}")[0].for_s == 7200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{lease: {most: 5}}", "unknown key `lease`"),
        ("{allow: {for: 25h}}", "`25h` is too long"),
        ("{allow: {for: 90}}", "`90` is not a duration"),
        ("{allow: {most: -1}}", "`-1` is not an amount"),
        ("{allow: {most: 5, total: 4}}", "less than `most`"),
        ("{allow: {least: 1}}", "unknown key `least`"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    _, problems = read(text)
    assert problems[0].startswith(message.split("`", maxsplit=1)[0]), problems


def test_an_unknown_word_is_denied() -> None:
    outcome, problems = read("maybe")
    assert outcome == DENY
    assert len(problems) == 1
