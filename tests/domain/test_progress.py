"""What an answer has cost until now, and can have cost at most after so many bytes more."""

from fractions import Fraction

import msgspec
import pytest

from sidecar.domain.estimates import Estimate
from sidecar.domain.metering import Bill, Measure, Meters, Source, Tariff
from sidecar.domain.meters.named import READERS
from sidecar.domain.price import Price
from sidecar.domain.progress import Progress

PRICE = Price.of({"input_tokens": Fraction(1), "output_tokens": Fraction(2), "bytes": Fraction(5)}, flat=7)
METERS = Meters(reader=READERS["openai.chat"], measures=(("bytes", Measure.RESPONSE_BYTES),))
BILL = Bill(Tariff(METERS, estimate=Estimate(Fraction(4))), PRICE, hold=0, request_bytes=40)


def test_it_is_what_was_reported_or_written() -> None:
    assert Progress(BILL, {}, 3).cost == 7 + 10 + 2 * 3
    assert Progress(BILL, {"input_tokens": 1, "output_tokens": 5}, 0).cost == 7 + 1 + 10
    assert Progress(BILL, {"bytes": 3}, 0).cost == 7 + 10 + 15


@pytest.mark.parametrize(
    ("estimate", "tokens"), [(Estimate(Fraction(4)), 25), (Estimate(tokenizer=lambda text: len(text) // 9), 100)]
)
def test_bytes_ahead_may_all_be_text(estimate: Estimate, tokens: int) -> None:
    bill = msgspec.structs.replace(BILL, tariff=Tariff(METERS, estimate=estimate))
    now = Progress(bill, {"input_tokens": 0}, 3)
    assert now.at_most(100) == 7 + 2 * (3 + tokens) + 5 * 100
    assert now.at_most(0) == now.cost


def test_without_an_estimate_bytes_ahead_are_bytes() -> None:
    bill = msgspec.structs.replace(BILL, tariff=Tariff(METERS))
    assert Progress(bill, {"bytes": 1}, 3).at_most(10) == 7 + 55


def test_the_charge_says_how_it_is_known_and_has_a_bound() -> None:
    charge = Progress(BILL, {"input_tokens": 1}, 3).charge(most=1000)
    assert (charge.amount, charge.usage, charge.source) == (14, "input_tokens=1 output_tokens=3", Source.ESTIMATED)
    charge = Progress(BILL, {"input_tokens": 1, "output_tokens": 3}).charge(most=10)
    assert (charge.amount, charge.source, charge.release) == (10, Source.OBSERVED, False)
