"""Statuses and prices by the answer; what is wrong with them is in ``cases``."""

from sidecar.config.cursor import Cursor
from sidecar.config.rule_answers import OfAnswer, read_answers, read_statuses
from sidecar.config.source import parse
from sidecar.domain.metering import SUCCESS
from sidecar.domain.price import Price

CHEAP, DEAR = Price.of({}, 1), Price.of({}, 2)


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


def test_statuses() -> None:
    assert read_statuses(at("[2xx, 404]")) == {*range(200, 300), 404}
    assert read_statuses(at("304")) == {304}


def test_prices_by_status() -> None:
    cursor = at("{2xx: 1, '*': 2}")
    prices = read_answers(cursor, OfAnswer(None), {"2xx": CHEAP, "*": DEAR}, SUCCESS)
    assert not cursor.problems
    nothing: dict[bytes, bytes] = {}
    assert [prices.of_answer(status, nothing)[0] for status in (204, 404)] == [CHEAP, DEAR]


def test_a_status_that_is_not_charged_has_no_price() -> None:
    cursor = at("{404: 1}")
    read_answers(cursor, OfAnswer(None), {"404": CHEAP}, SUCCESS)
    assert [problem.message for problem in cursor.problems] == [
        'no price for "*": an answer may say anything, or nothing',
        "no effect: answers with `404` are not charged",
    ]
