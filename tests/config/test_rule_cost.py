"""What `usage:` and `hold:` mean; what is wrong with them is in ``cases``."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_cost import read_hold, read_usage
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import Measure, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price

CHAT = Meters(reader=READERS["openai.chat"])


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


@pytest.mark.parametrize("name", READERS)
def test_a_reader_by_name(name: str) -> None:
    assert read_usage(at(name)) == Meters(reader=READERS[name])


def test_meters_by_source() -> None:
    meters = read_usage(
        at(
            "{t: {json: /a/b, sse: {pointer: /c}}, h: {header: X-H}, "
            "u: {bytes: request}, d: {bytes: response}, s: {duration: ms}}"
        )
    )
    assert meters.names == ("t", "h", "u", "d", "s")
    assert meters.headers == (("h", b"x-h"),)
    assert meters.measures == (
        ("u", Measure.REQUEST_BYTES),
        ("d", Measure.RESPONSE_BYTES),
        ("s", Measure.DURATION_MS),
    )
    assert meters.reader is not None
    assert meters.reader.read_json(b'{"a": {"b": 3}}') == {"t": 3}


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
