"""What `hold:` means; what is wrong with it is in ``cases``."""

from fractions import Fraction

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_cost import read_hold, read_recent
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.request_meters import of_body

CHAT = Meters(reader=READERS["openai.chat"])


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


@pytest.mark.parametrize(
    ("text", "hold"),
    [("0.25", 250_000), ("2", 2_000_000)],
)
def test_a_fixed_hold(text: str, hold: int) -> None:
    cursor = at(text)
    assert read_hold(cursor, cursor, CREDITS, CHAT, Price.of({})) == hold


def test_terms_replace_those_of_the_reader_one_by_one() -> None:
    cursor = at("{output_tokens: 5}")
    terms = read_hold(cursor, cursor, CREDITS, CHAT, Price.of({}))
    assert isinstance(terms, dict)
    assert {meter: term.text for meter, term in terms.items()} == {
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "5",
    }


def test_a_flat_price_holds_itself() -> None:
    cursor = at("x")
    assert read_hold(None, cursor, CREDITS, Meters(), Price.of({}, 7)) == {}
    assert not cursor.problems


def test_what_the_request_tells_and_a_status_need_no_term() -> None:
    cursor = at("x")
    meters = Meters(statuses=(("found", frozenset({200})),), requests=(("n", of_body("n")),))
    terms = read_hold(None, cursor, CREDITS, meters, Price.of({"found": Fraction(1), "n": Fraction(1)}))
    assert isinstance(terms, dict)
    assert {meter: term.text for meter, term in terms.items()} == {"found": "1"}
    assert not cursor.problems


def test_a_meter_beside_a_reader_needs_a_term_of_its_own() -> None:
    meters = Meters(reader=READERS["openai.chat"], headers=(("gpu_ms", b"x-gpu-ms"),))
    price = Price.of({"input_tokens": Fraction(1), "gpu_ms": Fraction(1)})
    for cursor in (at("{output_tokens: 5}"), at("{input_tokens: 5}")):
        read_hold(cursor, cursor, CREDITS, meters, price)
        assert [problem.message for problem in cursor.problems] == ["nothing for `gpu_ms`, which has a rate"]
    cursor = at("x")
    read_hold(None, cursor, CREDITS, meters, price)
    assert cursor.problems


def test_a_percentile_of_recent_costs_and_what_is_held_at_first() -> None:
    recent, first = read_recent(at("{percentile: 99.5, of: 1k, at_first: 0.25}"), CHAT)
    assert recent is not None
    assert (recent.percentile, recent.of) == (Fraction(199, 2), 1000)
    assert first is not None
    assert first.value == 0.25
    recent, first = read_recent(at("{percentile: 95}"), CHAT)
    assert recent is not None
    assert (recent.of, first) == (200, None)


def test_other_holds_are_no_percentile() -> None:
    for text in ("0.25", "{output_tokens: 5}", "{of: 1, output_tokens: 5}"):
        cursor = at(text)
        meters = Meters(headers=(("of", b"x-of"), ("output_tokens", b"x-out")))
        assert read_recent(cursor, meters) == (None, cursor)
    assert read_recent(None, CHAT) == (None, None)
