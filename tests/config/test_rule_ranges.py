"""What `by: usage.…` means; what is wrong with it is in ``cases``."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_price import read_price
from sidecar.config.rule_ranges import OfUsage, read_usage_dimension
from sidecar.config.source import parse
from sidecar.domain.amounts import CREDITS
from sidecar.domain.metering import Measure, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.price_list import AnswerPrices, PriceList, deciding_meters, leaves

GEMINI = Meters(reader=READERS["google.gemini"], measures=(("ms", Measure.DURATION_MS),))


def at(text: str) -> Cursor:
    return Cursor(parse(text, "x.yaml"), [])


@pytest.mark.parametrize(
    ("name", "meters"),
    [
        ("input_tokens", ("input_tokens", "input_audio_tokens", "cached_input_tokens", "cached_input_audio_tokens")),
        ("cached_input_tokens", ("cached_input_tokens", "cached_input_audio_tokens")),
        ("ms", ("ms",)),
    ],
)
def test_a_meter_with_all_its_classes(name: str, meters: tuple[str, ...]) -> None:
    assert read_usage_dimension(at("x"), name, GEMINI) == OfUsage(meters)


def test_ranges_stand_behind_all_other_dimensions() -> None:
    text = """
      by: [header.X-Model, response.status, usage.input_tokens]
      rates:
        pro: {"*": {"<= 200k": {output_tokens: 10 per 1M}, "<=1M": {output_tokens: 15 per 1M}, "*": {flat: 1}}}
        "*": {"*": {"<= 1": {flat: 2}, "*": {by: usage.ms, rates: {<= 800: {flat: 3}, "*": {flat: 0}}}}}
    """
    cursor = at(text)
    price = read_price(cursor, CREDITS, GEMINI)
    assert not cursor.problems
    assert isinstance(price, PriceList)
    assert deciding_meters(price) == {*read_usage_dimension_meters("input_tokens"), "ms"}
    assert len(list(leaves(price))) == 6
    answer = price.find("pro")
    assert isinstance(answer, AnswerPrices)
    nothing: dict[bytes, bytes] = {}
    ranged, _ = answer.of_answer(200, nothing)
    assert isinstance(ranged, Price)
    for read, cost in ((200_000, 10), (200_001, 15), (1_000_000, 15), (1_000_001, 1)):
        usage = {"input_tokens": read - 7, "cached_input_audio_tokens": 7, "output_tokens": 1_000_000}
        assert ranged.charge(usage) == cost * 1_000_000


def read_usage_dimension_meters(name: str) -> tuple[str, ...]:
    dimension = read_usage_dimension(at("x"), name, GEMINI)
    assert dimension is not None
    return dimension.meters
